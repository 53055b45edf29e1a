/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libnftables, loaded by the first who changes rules. sym_X is libnftables' X once nftables_load() has
 * succeeded. */

#include <stdio.h> /* the next one wants it */

#include <nftables/libnftables.h>

#include "basic/error.h"

#define NFTABLES_FUNCTIONS(F)      \
        F(nft_ctx_buffer_error)    \
        F(nft_ctx_buffer_output)   \
        F(nft_ctx_free)            \
        F(nft_ctx_get_error_buffer)\
        F(nft_ctx_new)             \
        F(nft_run_cmd_from_buffer)

#define NFTABLES_DECLARE(name) extern typeof(name) *sym_##name;
NFTABLES_FUNCTIONS(NFTABLES_DECLARE)
#undef NFTABLES_DECLARE

/* "NotSupported": it is not installed. */
int nftables_load(Error *reterr_error);
