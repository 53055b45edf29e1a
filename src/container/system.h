/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Containers that run a whole system: systemd, or another init, as first process. What they get is systemd's
 * container interface (https://systemd.io/CONTAINER_INTERFACE): variables, /run/host, a writable control
 * group, file systems that an init expects or would mount itself; and the stop signal that systemd shuts
 * down by. */

#include "container/options.h"

#define CONTAINER_MANAGER_NAME "moored" /* $container */
#define SYSTEM_HOST_DIR "/run/host"
#define SYSTEM_HOST_NAME "host" /* the directory in the bundle that is mounted there */
#define SYSTEM_NOTIFY_SOCKET SYSTEM_HOST_DIR "/notify"
#define SYSTEM_STOP_SIGNAL "RTMIN+3"

/* Whether args is what such a container is known by if it is not said: systemd, or an init at its usual
 * place. */
bool command_is_init(char *const *args);
/* As the options say, or the command. */
bool container_is_system(const ContainerOptions *o, char *const *args);
/* The same, but for one that is only to be a machine: what it runs may be anything. */
bool container_is_systemd(const ContainerOptions *o, char *const *args);

/* Whether it has a directory of the host's, SYSTEM_HOST_DIR, with a socket to notify: as one, or because the
 * options say that it notifies. */
bool container_has_host_dir(const ContainerOptions *o, char *const *args);

/* "true", "false", "always". */
bool system_mode_is_valid(const char *s);

/* Adds $container and $container_uuid, if they are not there by the user's will. */
int system_set_environment(const ContainerOptions *o, char ***env);

/* The container's name at systemd-machined: its id; and the namespace's behind it, but for the first one. It
 * has to be a host name: "InvalidArgument". */
int container_machine_name(const char *ns, const char *id, char **ret, Error *reterr_error);
