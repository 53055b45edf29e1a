/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "basic/json.h"
#include "basic/string-util.h"
#include "basic/strv.h"

/* Jansson checks the grammar, UTF-8 and the range of numbers. What it does not bound to our liking, nesting
 * and the memory that many small values take, is counted in the text before it gets to see it. */

#define JSON_ERROR_NAME "InvalidArgument"

/* Walks over text that need not be JSON: jansson says later what is wrong with it. */
static int check_limits(const char *text, size_t n, Error *reterr_error) {
        unsigned depth = 0, line = 1;
        bool in_string = false;
        size_t values = 1, column = 1;

        for (size_t i = 0; i < n; i++, column++)
                switch (text[i]) {
                case '\n':
                        line++;
                        column = 0;
                        break;
                case '\\':
                        if (in_string) {
                                i++;
                                column++;
                        }
                        break;
                case '"':
                        in_string = !in_string;
                        break;
                case '[':
                case '{':
                        if (in_string)
                                break;
                        values++;
                        if (++depth > JSON_DEPTH_MAX_)
                                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME,
                                                 "Line %u, column %zu: nested deeper than %u levels.", line,
                                                 column, JSON_DEPTH_MAX_);
                        break;
                case ']':
                case '}':
                        if (!in_string && depth > 0)
                                depth--;
                        break;
                case ',':
                        if (!in_string && ++values > JSON_VALUES_MAX)
                                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME,
                                                 "Line %u, column %zu: more than %u values.", line, column,
                                                 JSON_VALUES_MAX);
                        break;
                default:
                        break;
                }
        return 0;
}

/* ---- wide integers ---- */

/* In front of the digits of an integer above INT64_MAX, which is handed to jansson as a string. */
#define WIDE_MARK '\x01'
#define WIDE_MARK_TEXT "\\u0001"

#define WIDE_DIGITS_MAX 20U

/* Whether the n digits are a number above INT64_MAX and up to UINT64_MAX. */
static bool is_wide(const char *digits, size_t n) {
        char buf[WIDE_DIGITS_MAX + 1];
        uint64_t v;

        if (n == 0 || n > WIDE_DIGITS_MAX || digits[0] == '0')
                return false;
        memcpy(buf, digits, n);
        buf[n] = 0;
        return parse_uint64(buf, &v) >= 0 && v > INT64_MAX;
}

static bool is_number_char(char c) {
        return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* A copy with wide integers as marked strings. */
static char *mark_wide(const char *text, size_t n, size_t *ret_n) {
        bool in_string = false;
        char *out = NULL;
        size_t size = 0;
        FILE *f;

        f = open_memstream(&out, &size);
        if (!f)
                return NULL;
        for (size_t i = 0, l; i < n; i += l) {
                l = 1;
                if (in_string && text[i] == '\\' && i + 1 < n)
                        l = 2;
                else if (text[i] == '"')
                        in_string = !in_string;
                else if (!in_string)
                        while (is_number_char(text[i]) && i + l < n && is_number_char(text[i + l]))
                                l++;

                if (!in_string && is_wide(text + i, l))
                        fprintf(f, "\"" WIDE_MARK_TEXT "%.*s\"", (int) l, text + i);
                else
                        (void) fwrite(text + i, 1, l, f);
        }
        if (fclose(f) != 0) {
                free(out);
                return NULL;
        }
        *ret_n = size;
        return out;
}

bool json_get_uint64_wide(const json_t *value, uint64_t *ret) {
        const char *s = json_string_value(value);

        if (s && s[0] == WIDE_MARK && is_wide(s + 1, strlen(s + 1)))
                return parse_uint64(s + 1, ret) >= 0;
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return false;
        *ret = (uint64_t) json_integer_value(value);
        return true;
}

/* ---- text ---- */

static int parse(const char *text, size_t n, size_t max, bool wide, json_t **ret, Error *reterr_error) {
        _cleanup_free_ char *marked = NULL;
        _cleanup_json_ json_t *j = NULL;
        json_error_t e;
        int r;

        max = MIN(max, (size_t) JSON_TEXT_MAX);
        if (n > max)
                return error_set(reterr_error, -EFBIG, "LimitsExceeded",
                                 "%zu bytes of JSON are more than the limit of %zu.", n, max);

        r = check_limits(text, n, reterr_error);
        if (r < 0)
                return r;

        j = json_loadb(strempty(text), n, JSON_REJECT_DUPLICATES, &e);
        if (!j && wide && json_error_code(&e) == json_error_numeric_overflow) {
                marked = mark_wide(text, n, &n);
                if (!marked)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
                j = json_loadb(marked, n, JSON_REJECT_DUPLICATES, &e);
        }
        if (!j && json_error_code(&e) == json_error_out_of_memory)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        if (!j)
                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME, "Line %d, column %d: %s.", e.line,
                                 e.column, e.text);
        if (!json_is_object(j))
                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME,
                                 "Line 1, column 1: expected an object.");

        *ret = TAKE_PTR(j);
        return 0;
}

int json_parse(const char *text, size_t n, size_t max, json_t **ret, Error *reterr_error) {
        return parse(text, n, max, false, ret, reterr_error);
}

int json_parse_wide(const char *text, size_t n, size_t max, json_t **ret, Error *reterr_error) {
        return parse(text, n, max, true, ret, reterr_error);
}

/* ---- values ---- */

static int expected(const char *what, const char *name, const char *type, Error *reterr_error) {
        return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME, "%s.%s: expected %s.", what, name, type);
}

/* The text of a string value, or NULL: a C string cannot hold a NUL, and a wide integer is no string. */
static const char *c_string(json_t *value) {
        const char *s = json_string_value(value);

        if (!s || strlen(s) != json_string_length(value) ||
            (s[0] == WIDE_MARK && is_wide(s + 1, strlen(s + 1))))
                return NULL;
        return s;
}

static int take_strv(json_t *value, const char *what, const char *name, char ***target,
                     Error *reterr_error) {
        _cleanup_strv_free_ char **l = NULL;
        json_t *item;
        size_t i, n;

        if (!json_is_array(value))
                return expected(what, name, "an array of strings", reterr_error);

        /* One allocation: appending one by one would measure the list each time. */
        n = json_array_size(value);
        l = calloc(n + 1, sizeof(char *));
        if (!l)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");

        json_array_foreach(value, i, item) {
                const char *s = c_string(item);

                if (!s)
                        return expected(what, name, "an array of strings", reterr_error);
                l[i] = strdup(s);
                if (!l[i])
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        }

        strv_free(*target);
        *target = TAKE_PTR(l);
        return 0;
}

static int take_string(json_t *value, const char *what, const char *name, char **target,
                       Error *reterr_error) {
        const char *s = c_string(value);

        if (!s)
                return expected(what, name, "a string", reterr_error);
        if (free_and_strdup(target, s) < 0)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory.");
        return 0;
}

static int take_field(const JsonField *f, json_t *value, void *target, const char *what,
                      Error *reterr_error) {
        void *p = (char *) target + f->offset;
        int r;

        switch (f->type) {
        case JSON_FIELD_STRING:
                return take_string(value, what, f->name, p, reterr_error);
        case JSON_FIELD_STRV:
                return take_strv(value, what, f->name, p, reterr_error);
        case JSON_FIELD_BOOL:
                if (!json_is_boolean(value))
                        return expected(what, f->name, "true or false", reterr_error);
                *(bool *) p = json_is_true(value);
                return 0;
        case JSON_FIELD_UINT64:
                if (!json_is_integer(value) || json_integer_value(value) < 0)
                        return expected(what, f->name, "an integer that is not negative", reterr_error);
                *(uint64_t *) p = (uint64_t) json_integer_value(value);
                return 0;
        case JSON_FIELD_UINT64_WIDE:
                if (!json_get_uint64_wide(value, p))
                        return expected(what, f->name, "an integer that is not negative", reterr_error);
                return 0;
        case JSON_FIELD_INT64:
                if (!json_is_integer(value))
                        return expected(what, f->name, "an integer", reterr_error);
                *(int64_t *) p = json_integer_value(value);
                return 0;
        case JSON_FIELD_OBJECT:
                if (!json_is_object(value))
                        return expected(what, f->name, "an object", reterr_error);
                *(json_t **) p = value;
                return 0;
        case JSON_FIELD_ARRAY:
                if (!json_is_array(value))
                        return expected(what, f->name, "an array", reterr_error);
                *(json_t **) p = value;
                return 0;
        case JSON_FIELD_CUSTOM: {
                _cleanup_error_ Error e = ERROR_NULL;

                r = f->parse(f->name, value, target, &e);
                if (r >= 0)
                        return 0;
                if (!error_is_set(&e))
                        return error_set_errno(reterr_error, r, "%s.%s: %m", what, f->name);
                error_prefix(&e, "%s", what);
                error_move(reterr_error, &e);
                return r;
        }
        default:
                assert(false);
                return -EINVAL;
        }
}

static bool is_known(const JsonField *table, const char *name) {
        for (const JsonField *f = table; f->name; f++)
                if (streq(f->name, name))
                        return true;
        return false;
}

int json_dispatch(json_t *object, const JsonField *table, void *target, const char *what, bool strict,
                  Error *reterr_error) {
        const char *name;
        json_t *value;
        int r;

        if (!json_is_object(object))
                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME, "%s: expected an object.", what);

        for (const JsonField *f = table; f->name; f++) {
                value = json_object_get(object, f->name);
                if (!value || json_is_null(value)) {
                        if (!f->required)
                                continue;
                        return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME, "%s.%s is missing.", what,
                                         f->name);
                }

                r = take_field(f, value, target, what, reterr_error);
                if (r < 0)
                        return r;
        }

        if (strict)
                json_object_foreach(object, name, value)
                        if (!is_known(table, name))
                                return error_set(reterr_error, -EBADMSG, JSON_ERROR_NAME,
                                                 "%s.%s is not known.", what, name);
        return 0;
}

json_t *json_from_strv(char *const *l) {
        json_t *array = json_array();

        STRV_FOREACH(s, l)
                if (json_array_append_new(array, json_string(s)) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}

const char *json_get_string(json_t *object, const char *name) {
        return c_string(json_object_get(object, name));
}

char *json_dump(json_t *j, bool sort) {
        return json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | (sort ? JSON_SORT_KEYS : 0));
}
