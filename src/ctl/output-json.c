/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl/output-json.h"

#include "basic/json.h"

static const char *const output_mode_table[_OUTPUT_MODE_MAX] = {
        [OUTPUT_OFF] = "off",
        [OUTPUT_SHORT] = "short",
        [OUTPUT_PRETTY] = "pretty",
};
DEFINE_STRING_TABLE(output_mode, OutputMode)

static int array_to_json(sd_bus_message *m, char container, const char *contents, json_t **ret) {
        _cleanup_json_ json_t *a = json_array();
        int r;

        if (!a)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, container, contents);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                json_t *v;

                r = bus_message_to_json(m, &v);
                if (r < 0)
                        return r;
                if (json_array_append_new(a, v) < 0)
                        return -ENOMEM;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

/* JSON's keys are strings: another basic type is written as its value looks. */
static int key_to_string(sd_bus_message *m, char **ret) {
        _cleanup_json_ json_t *key = NULL;
        char *s;
        int r;

        r = bus_message_to_json(m, &key);
        if (r < 0)
                return r;
        s = json_is_string(key) ? strdup(json_string_value(key)) : json_dumps(key, JSON_ENCODE_ANY);
        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

static int dictionary_to_json(sd_bus_message *m, const char *contents, json_t **ret) {
        _cleanup_json_ json_t *o = json_object();
        _cleanup_free_ char *entry = NULL;
        int r;

        /* "{sv}" → "sv" */
        entry = strndup(contents + 1, strlen(contents) - 2);
        if (!o || !entry)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, contents);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, entry)) > 0) {
                _cleanup_free_ char *key = NULL;
                json_t *v;

                r = key_to_string(m, &key);
                if (r < 0)
                        return r;
                r = bus_message_to_json(m, &v);
                if (r < 0)
                        return r;
                if (json_object_set_new(o, key, v) < 0)
                        return -ENOMEM;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

static int basic_to_json(sd_bus_message *m, char type, json_t **ret) {
        union {
                uint8_t y;
                int b; /* sd-bus reads booleans into an int */
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                const char *s;
        } v = {};
        json_t *j;
        int r;

        r = sd_bus_message_read_basic(m, type, &v);
        if (r < 0)
                return r;

        switch (type) {
        case SD_BUS_TYPE_BYTE:
                j = json_integer(v.y);
                break;
        case SD_BUS_TYPE_BOOLEAN:
                j = json_boolean(v.b);
                break;
        case SD_BUS_TYPE_INT16:
                j = json_integer(v.n);
                break;
        case SD_BUS_TYPE_UINT16:
                j = json_integer(v.q);
                break;
        case SD_BUS_TYPE_INT32:
                j = json_integer(v.i);
                break;
        case SD_BUS_TYPE_UINT32:
                j = json_integer(v.u);
                break;
        case SD_BUS_TYPE_INT64:
                j = json_integer(v.x);
                break;
        case SD_BUS_TYPE_UINT64:
                j = v.t > INT64_MAX ? json_null() : json_integer((json_int_t) v.t);
                break;
        case SD_BUS_TYPE_DOUBLE:
                j = json_real(v.d) ?: json_null(); /* JSON has no infinity */
                break;
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                j = json_string(v.s);
                break;
        default:
                j = json_null();
        }
        if (!j)
                return -ENOMEM;
        *ret = j;
        return 0;
}

int bus_message_to_json(sd_bus_message *m, json_t **ret) {
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENODATA;

        switch (type) {
        case SD_BUS_TYPE_ARRAY:
                if (contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN)
                        return dictionary_to_json(m, contents, ret);
                return array_to_json(m, type, contents, ret);

        case SD_BUS_TYPE_STRUCT:
                return array_to_json(m, type, contents, ret);

        case SD_BUS_TYPE_VARIANT:
                r = sd_bus_message_enter_container(m, type, contents);
                if (r < 0)
                        return r;
                r = bus_message_to_json(m, ret);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0) {
                        json_decref(*ret);
                        return r;
                }
                return 0;

        default:
                return basic_to_json(m, type, ret);
        }
}

void json_member_expand(json_t *object, const char *name) {
        json_t *s = json_object_get(object, name), *j;

        if (!json_is_string(s))
                return;
        if (json_parse(json_string_value(s), json_string_length(s), JSON_TEXT_MAX, &j, NULL) >= 0)
                (void) json_object_set_new(object, name, j);
}

int json_print(json_t *j, OutputMode mode, FILE *f) {
        if (mode == OUTPUT_OFF)
                return 0;
        if (json_dumpf(j, f, JSON_ENCODE_ANY | (mode == OUTPUT_PRETTY ? JSON_INDENT(8) : JSON_COMPACT)) < 0)
                return -EIO;
        fputc('\n', f);
        return 0;
}
