-- SPDX-License-Identifier: LGPL-2.1-or-later
-- The database of schema version 2, as its moored made it, with something in each table that version 3 refers to.
CREATE TABLE namespaces ( name TEXT PRIMARY KEY, labels TEXT NOT NULL, created_usec INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE images ( ns TEXT NOT NULL REFERENCES namespaces (name), name TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT, size INTEGER NOT NULL, manifest_digest TEXT, config_digest TEXT, platform TEXT, total_size INTEGER NOT NULL, created_usec INTEGER NOT NULL, tagged_usec INTEGER NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (ns, name)) STRICT, WITHOUT ROWID;
CREATE TABLE blobs ( digest TEXT PRIMARY KEY, size INTEGER NOT NULL, media_type TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE refs ( parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID;
CREATE TABLE chains ( manifest TEXT PRIMARY KEY, chain_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE leases ( lease TEXT NOT NULL, digest TEXT NOT NULL, expires_usec INTEGER NOT NULL, PRIMARY KEY (lease, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots ( id INTEGER PRIMARY KEY AUTOINCREMENT, driver TEXT NOT NULL, kind INTEGER NOT NULL, chain_id TEXT, diff_id TEXT, parent INTEGER REFERENCES snapshots (id), ready INTEGER NOT NULL, synced INTEGER NOT NULL, boot_id TEXT, size INTEGER NOT NULL, created_usec INTEGER NOT NULL, UNIQUE (driver, chain_id)) STRICT;
CREATE INDEX snapshots_parent ON snapshots (parent);
CREATE TABLE containers ( ns TEXT NOT NULL REFERENCES namespaces (name), id TEXT NOT NULL, image TEXT, image_digest TEXT, options TEXT, snapshot INTEGER NOT NULL, auto_remove INTEGER NOT NULL, created_usec INTEGER NOT NULL, started_usec INTEGER NOT NULL, finished_usec INTEGER NOT NULL, boot_id TEXT, invocation_id TEXT, exit_code INTEGER NOT NULL, exit_signal TEXT, result TEXT, restart_count INTEGER NOT NULL DEFAULT 0, stopped INTEGER NOT NULL DEFAULT 0, oom_kills INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (ns, id)) STRICT, WITHOUT ROWID;
CREATE TABLE events ( sequence INTEGER PRIMARY KEY AUTOINCREMENT, usec INTEGER NOT NULL, ns TEXT, topic TEXT NOT NULL, subject TEXT, details TEXT) STRICT;
CREATE TABLE execs ( n INTEGER PRIMARY KEY AUTOINCREMENT, ns TEXT NOT NULL, id TEXT NOT NULL, options TEXT NOT NULL, token TEXT, auto_remove INTEGER NOT NULL, created_usec INTEGER NOT NULL, started_usec INTEGER NOT NULL, finished_usec INTEGER NOT NULL, boot_id TEXT, invocation_id TEXT, exit_code INTEGER NOT NULL, exit_signal TEXT, result TEXT, FOREIGN KEY (ns, id) REFERENCES containers (ns, id) ON DELETE CASCADE) STRICT;
CREATE INDEX execs_container ON execs (ns, id);
INSERT INTO namespaces VALUES ('default', '{}', 1);
INSERT INTO snapshots VALUES (7, 'overlay', 1, NULL, NULL, NULL, 1, 0, 'boot', 0, 2);
INSERT INTO containers VALUES ('default', 'web', 'image', 'sha256:0', '{}', 7, 0, 3, 4, 5, 'boot', 'invocation', 7, 'KILL', 'signal', 0, 0, 0);
INSERT INTO execs VALUES (9, 'default', 'web', '{}', NULL, 0, 3, 4, 5, 'boot', 'invocation', 0, NULL, 'success');
INSERT INTO events VALUES (41, 6, 'default', 'container/exited', 'web', '{"ExitCode":7}');
PRAGMA user_version = 2;
