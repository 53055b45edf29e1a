/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* NETWORK[:KEY=VALUE,…]. Neither a network's name nor a key has a colon, so the first one ends the name;
 * IPv6 addresses have them behind it. What has a colon in front already (container:ID, ns:PATH) is no
 * network, and is not for this parser. */

#include "basic/limit-util.h"
#include "basic/string-util.h"
#include "basic/strv.h"
#include "network/network.h"

#define ATTACHMENT_TEXT_MAX 8192U
#define ADDRESSES_GIVEN_MAX 16
#define ALIAS_LENGTH_MAX 63U /* a label of the DNS */

void attachment_done(Attachment *a) {
        if (!a)
                return;

        free(a->network);
        free(a->interface);
        free(a->mac);
        strv_free(a->addresses);
        strv_free(a->aliases);
        *a = (Attachment) {};
}

bool network_name_is_valid(const char *name) {
        return !isempty(name) && strlen(name) <= NETWORK_NAME_MAX &&
               string_in_charset(name, UPPERCASE LOWERCASE DIGITS "_.-") && !strchr("_.-", name[0]);
}

/* The kernel's dev_valid_name(), and nothing that looks odd in a rule or a list. */
bool network_device_name_is_valid(const char *name) {
        return !isempty(name) && strlen(name) < IF_NAMESIZE &&
               string_in_charset(name, UPPERCASE LOWERCASE DIGITS "_.-") && name[0] != '.' &&
               name[0] != '-' && !streq(name, "all") && !streq(name, "default");
}

static bool alias_is_valid(const char *name) {
        return !isempty(name) && strlen(name) <= ALIAS_LENGTH_MAX &&
               string_in_charset(name, UPPERCASE LOWERCASE DIGITS "_.-") && !strchr("_.-", name[0]);
}

static int invalid(Error *e, const char *text, const char *why) {
        return error_set(e, -EINVAL, "InvalidArgument", "“%s” is not a network for a container: %s.", text,
                         why);
}

static const char *add_address(Attachment *a, const Address *address, const char *text) {
        if (!address_is_unicast(address))
                return "what is behind “ip=” is not an address that a container can have";
        if (strv_length(a->addresses) >= ADDRESSES_GIVEN_MAX)
                return "more than " STRINGIFY(ADDRESSES_GIVEN_MAX) " addresses";
        if (strv_contains(a->addresses, text))
                return "an address is given twice";
        return strv_extend(&a->addresses, text) < 0 ? "there is no memory left" : NULL;
}

static const char *take_address(Attachment *a, const char *value) {
        char text[ADDRESS_TEXT_MAX];
        Prefix prefix = {};

        if (prefix_parse(value, &prefix) >= 0)
                return "an address is given without a length (no “/24”), which is the network's; only plug-ins (cni:) are told one";
        if (address_parse(value, &prefix.address) < 0)
                return "what is behind “ip=” is not an IP address";
        return add_address(a, &prefix.address, address_format(&prefix.address, text));
}

static const char *take_address_cni(Attachment *a, const char *value) {
        char text[ADDRESS_TEXT_MAX];
        Prefix prefix = {};

        if (address_parse(value, &prefix.address) >= 0)
                return add_address(a, &prefix.address, address_format(&prefix.address, text));
        if (prefix_parse(value, &prefix) < 0)
                return "what is behind “ip=” is not an IP address, with or without a length (“/24”)";
        return add_address(a, &prefix.address, prefix_format(&prefix, text));
}

static const char *take_mac(Attachment *a, const char *value) {
        char text[ETHER_TEXT_MAX];
        uint8_t ether[ETHER_SIZE];

        if (a->mac)
                return "“mac=” is given twice";
        if (ether_parse(value, ether) < 0)
                return "what is behind “mac=” is not an Ethernet address of one device (02:00:5e:00:53:01)";
        a->mac = strdup(ether_format(ether, text));
        return a->mac ? NULL : "there is no memory left";
}

static const char *take_alias(Attachment *a, const char *value) {
        if (!alias_is_valid(value))
                return "an alias has letters, digits, “_”, “.” and “-”, begins with a letter or a digit, and is at most 63 characters long";
        if (strv_length(a->aliases) >= ALIASES_MAX)
                return "there are too many aliases";
        if (strv_contains(a->aliases, value))
                return "an alias is given twice";
        return strv_extend(&a->aliases, value) < 0 ? "there is no memory left" : NULL;
}

static const char *take_interface(Attachment *a, const char *value) {
        if (a->interface)
                return "“interface_name=” is given twice";
        if (!network_device_name_is_valid(value) || streq(value, "lo"))
                return "the name of an interface has letters, digits, “_”, “.” and “-”, at most 15, and is not “lo”";
        a->interface = strdup(value);
        return a->interface ? NULL : "there is no memory left";
}

static const char *take_rate(uint64_t *rate, const char *value) {
        uint64_t bits;

        if (*rate > 0)
                return "a rate is given twice";
        if (parse_bit_rate(value, &bits) < 0 || bits < INTERFACE_RATE_MIN || bits > INTERFACE_RATE_MAX)
                return "a rate is a number of bits a second with k, m or g (10mbit), from 8k to 1000g";
        *rate = bits;
        return NULL;
}

static const char *take_sent_rate(Attachment *a, const char *value) {
        return take_rate(&a->sent_rate, value);
}

static const char *take_received_rate(Attachment *a, const char *value) {
        return take_rate(&a->received_rate, value);
}

static const char *take_option(Attachment *a, const char *option, bool cni) {
        const struct {
                const char *key;
                const char *(*take)(Attachment *a, const char *value);
        } keys[] = {
                { "ip=", cni ? take_address_cni : take_address },
                { "ip6=", cni ? take_address_cni : take_address },
                { "mac=", take_mac },
                { "alias=", take_alias },
                { "interface_name=", take_interface },
                { "sent_rate=", take_sent_rate },
                { "received_rate=", take_received_rate },
        };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const char *value = startswith(option, keys[i].key);

                if (value)
                        return keys[i].take(a, value);
        }

        return "what can be behind the name is ip=, mac=, alias=, interface_name=, sent_rate= and received_rate=, with commas between";
}

static int parse(const char *text, bool cni, Attachment *ret, Error *reterr_error) {
        _cleanup_(attachment_done) Attachment a = {};
        _cleanup_strv_free_ char **options = NULL;
        const char *colon, *why;

        if (isempty(text))
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "The name of a network is missing.");
        if (strlen(text) > ATTACHMENT_TEXT_MAX)
                return error_set(reterr_error, -EINVAL, "InvalidArgument",
                                 "“%.32s…” is not a network for a container: it is too long.", text);

        colon = strchr(text, ':');
        a.network = colon ? strndup(text, (size_t) (colon - text)) : strdup(text);
        if (!a.network)
                return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        if (!network_name_is_valid(a.network))
                return invalid(reterr_error, text,
                               "a network's name has letters, digits, “_”, “.” and “-”, begins with a letter or a digit, and is at most "
                               "64 characters long");

        if (colon) {
                options = strv_split(colon + 1, ",");
                if (!options)
                        return error_set_errno(reterr_error, -ENOMEM, "Out of memory");
        }
        STRV_FOREACH (o, options) {
                why = take_option(&a, o, cni);
                if (why)
                        return invalid(reterr_error, text, why);
        }

        *ret = a;
        a = (Attachment) {};
        return 0;
}

int attachment_parse(const char *text, Attachment *ret, Error *reterr_error) {
        return parse(text, false, ret, reterr_error);
}

int attachment_parse_cni(const char *text, Attachment *ret, Error *reterr_error) {
        return parse(text, true, ret, reterr_error);
}
