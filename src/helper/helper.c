/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "helper/helper.h"

void helper_explain(Error *e) {
        if (e->error == -ENOSPC)
                (void) error_prefix(e, "The file system of " MOORED_STATE_DIR " is full, see moorctl gc");
}
