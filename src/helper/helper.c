/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "helper/helper.h"
#include "job/proto.h"

void helper_explain(Error *e) {
        if (e->error == -ENOSPC)
                (void) error_prefix(e, PROTO_NO_SPACE);
}
