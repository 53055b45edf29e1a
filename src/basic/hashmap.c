/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/random.h>

#include "basic/hashmap.h"

/* Entries lie in an array in order of insertion; a second array of positions, indexed by hash with linear
 * probing, finds them. A removed entry leaves a hole (key NULL) in the first array and a tombstone in the
 * second, and both go away only when an insertion needs room: so removing never moves anything and an
 * iterator is just a position.
 *
 * Keys come from users and registries, so the hash is SipHash-2-4 with a key from the kernel per table:
 * nobody outside can make keys collide. */

#define SLOT_FREE UINT32_MAX
#define SLOT_DELETED (UINT32_MAX - 1)
#define ENTRIES_MAX (UINT32_MAX / 4)

typedef struct Entry {
        char *key;
        void *value;
        uint64_t hash;
} Entry;

struct Hashmap {
        Entry *entries;
        size_t n_entries; /* with holes */
        size_t n_alive;
        size_t size;     /* of entries; slots are twice that, a power of two */
        uint32_t *slots; /* so that at least half are free: deleted ones and holes correspond */
        uint64_t seed[2];
};

static uint64_t rotate(uint64_t v, unsigned n) {
        return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[static 4]) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
}

static uint64_t hash_string(const uint64_t seed[static 2], const char *s) {
        uint64_t v[4] = {
                seed[0] ^ UINT64_C(0x736f6d6570736575),
                seed[1] ^ UINT64_C(0x646f72616e646f6d),
                seed[0] ^ UINT64_C(0x6c7967656e657261),
                seed[1] ^ UINT64_C(0x7465646279746573),
        };
        size_t n = strlen(s);
        uint64_t m;

        for (size_t left = n; left >= 8; left -= 8, s += 8) {
                memcpy(&m, s, 8);
                v[3] ^= m;
                sip_round(v);
                sip_round(v);
                v[0] ^= m;
        }

        m = 0;
        memcpy(&m, s, n % 8);
        m |= (uint64_t) n << 56;
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;

        v[2] ^= 0xff;
        for (unsigned i = 0; i < 4; i++)
                sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

Hashmap *hashmap_new(void) {
        Hashmap *h = calloc(1, sizeof(Hashmap));

        if (!h)
                return NULL;

        /* 16 bytes come at once or not at all; without them the table works, only guessably. */
        if (getrandom(h->seed, sizeof(h->seed), 0) < 0)
                h->seed[0] = (uint64_t) (uintptr_t) h;
        return h;
}

Hashmap *hashmap_free(Hashmap *h) {
        if (!h)
                return NULL;

        for (size_t i = 0; i < h->n_entries; i++)
                free(h->entries[i].key);
        free(h->entries);
        free(h->slots);
        free(h);
        return NULL;
}

/* The slot that holds the key's position, or NULL. */
static uint32_t *find_slot(const Hashmap *h, const char *key, uint64_t hash) {
        size_t mask = h->size * 2 - 1;

        if (h->size == 0)
                return NULL;

        for (size_t i = hash & mask; h->slots[i] != SLOT_FREE; i = (i + 1) & mask) {
                const Entry *e;

                if (h->slots[i] == SLOT_DELETED)
                        continue;
                e = h->entries + h->slots[i];
                if (e->hash == hash && streq(e->key, key))
                        return h->slots + i;
        }
        return NULL;
}

static void insert_slot(uint32_t *slots, size_t n_slots, uint64_t hash, size_t position) {
        size_t i = hash & (n_slots - 1);

        while (slots[i] != SLOT_FREE)
                i = (i + 1) & (n_slots - 1);
        slots[i] = (uint32_t) position;
}

/* Room for one more entry: drops the holes, and doubles where that gains too little. */
static int make_room(Hashmap *h) {
        size_t size = h->size ?: 8, n = 0;
        uint32_t *slots;
        Entry *entries;

        if (h->n_entries < h->size)
                return 0;
        if (h->n_alive >= size / 2 && h->size > 0)
                size *= 2;
        if (size > ENTRIES_MAX)
                return -ENOMEM;

        slots = malloc(size * 2 * sizeof(uint32_t));
        if (!slots)
                return -ENOMEM;
        entries = malloc(size * sizeof(Entry));
        if (!entries) {
                free(slots);
                return -ENOMEM;
        }

        memset(slots, 0xff, size * 2 * sizeof(uint32_t)); /* SLOT_FREE */
        for (size_t i = 0; i < h->n_entries; i++)
                if (h->entries[i].key) {
                        entries[n] = h->entries[i];
                        insert_slot(slots, size * 2, entries[n].hash, n);
                        n++;
                }

        free(h->entries);
        free(h->slots);
        h->entries = entries;
        h->slots = slots;
        h->size = size;
        h->n_entries = n;
        return 0;
}

static int append(Hashmap *h, const char *key, uint64_t hash, void *value) {
        char *copy;
        int r;

        r = make_room(h);
        if (r < 0)
                return r;
        copy = strdup(key);
        if (!copy)
                return -ENOMEM;

        h->entries[h->n_entries] = (Entry){ .key = copy, .value = value, .hash = hash };
        insert_slot(h->slots, h->size * 2, hash, h->n_entries);
        h->n_entries++;
        h->n_alive++;
        return 1;
}

int hashmap_put(Hashmap *h, const char *key, void *value) {
        uint64_t hash = hash_string(h->seed, key);

        if (find_slot(h, key, hash))
                return -EEXIST;

        return append(h, key, hash, value);
}

int hashmap_replace(Hashmap *h, const char *key, void *value) {
        uint64_t hash = hash_string(h->seed, key);
        uint32_t *slot = find_slot(h, key, hash);

        if (!slot)
                return append(h, key, hash, value);

        h->entries[*slot].value = value;
        return 0;
}

void *hashmap_get(const Hashmap *h, const char *key) {
        uint32_t *slot;

        if (!h || h->n_alive == 0)
                return NULL;

        slot = find_slot(h, key, hash_string(h->seed, key));
        return slot ? h->entries[*slot].value : NULL;
}

void *hashmap_remove(Hashmap *h, const char *key) {
        uint32_t *slot;
        Entry *e;

        if (!h || h->n_alive == 0)
                return NULL;

        slot = find_slot(h, key, hash_string(h->seed, key));
        if (!slot)
                return NULL;

        e = h->entries + *slot;
        free(e->key); /* which may be what key points to */
        e->key = NULL;
        *slot = SLOT_DELETED;
        h->n_alive--;
        return TAKE_PTR(e->value);
}

size_t hashmap_size(const Hashmap *h) {
        return h ? h->n_alive : 0;
}

bool hashmap_iterate(const Hashmap *h, HashmapIterator *i, const char **ret_key, void **ret_value) {
        if (!h)
                return false;

        for (; *i < h->n_entries; (*i)++) {
                const Entry *e = h->entries + *i;

                if (!e->key)
                        continue;
                if (ret_key)
                        *ret_key = e->key;
                if (ret_value)
                        *ret_value = e->value;
                (*i)++;
                return true;
        }
        return false;
}
