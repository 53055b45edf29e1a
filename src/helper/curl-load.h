/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libcurl, loaded by those who talk to registries. sym_X is libcurl's X once curl_load() has succeeded. */

#include <curl/curl.h>

#include "basic/error.h"

#define CURL_FUNCTIONS(F)           \
        F(curl_easy_cleanup)        \
        F(curl_easy_getinfo)        \
        F(curl_easy_init)           \
        F(curl_easy_setopt)         \
        F(curl_easy_strerror)       \
        F(curl_global_init)         \
        F(curl_multi_add_handle)    \
        F(curl_multi_assign)        \
        F(curl_multi_cleanup)       \
        F(curl_multi_info_read)     \
        F(curl_multi_init)          \
        F(curl_multi_remove_handle) \
        F(curl_multi_setopt)        \
        F(curl_multi_socket_action) \
        F(curl_slist_append)        \
        F(curl_slist_free_all)

#define CURL_DECLARE(name) extern typeof(name) *sym_##name;
CURL_FUNCTIONS(CURL_DECLARE)
#undef CURL_DECLARE

/* Loads it and sets it up, once for the process. It reads OpenSSL's configuration. */
int curl_load(Error *reterr_error);
