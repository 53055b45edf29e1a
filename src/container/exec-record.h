/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An exec's row in the file that its launcher reads (annotation ANNOTATION_EXEC_RECORD): what is needed to go on with
 * it when the database is lost. The file is there until the exec has ended. */

#include "store/store.h"

/* As it is before the start. */
int exec_record_build(const ExecRow *row, char **ret);
/* Adds the rows of a container's execs that have not ended; what cannot be read is told in the log. */
void exec_record_restore_all(Store *s, int containers_fd, const char *ns, const char *id);
