/*
 * Signing keys depend on the day, so one serves thousands of requests: a few are kept, with the key already worked
 * into the HMAC's state.
 *
 * The table is guarded by a lock that is only ever tried. A thread that finds it taken derives its key instead
 * of waiting (four HMACs), and a child forked while another thread held it still signs.
 */
#include "signing.h"

#define CACHE_ENTRIES 16
#define NAME_MAX_LEN 64

struct cached_key {
    uint8_t fingerprint[CRT_SHA256_LEN];
    char date[CRT_DATE_LEN];
    uint8_t region_len; /* 0: free entry; a region is never empty */
    uint8_t service_len;
    uint8_t region[NAME_MAX_LEN];
    uint8_t service[NAME_MAX_LEN];
    crt_hmac key;
};

static struct {
    volatile char locked;
    size_t next;
    struct cached_key entries[CACHE_ENTRIES];
} cache;

#if defined(_MSC_VER)
static bool try_lock(void) {
    return _InterlockedExchange8(&cache.locked, 1) == 0;
}
static void unlock(void) {
    _InterlockedExchange8(&cache.locked, 0);
}
#else
static bool try_lock(void) {
    return !__atomic_test_and_set(&cache.locked, __ATOMIC_ACQUIRE);
}
static void unlock(void) {
    __atomic_clear(&cache.locked, __ATOMIC_RELEASE);
}
#endif

static bool matches(const struct cached_key *entry, const crt_credentials *credentials, const char *date,
                    crt_bytes region, crt_bytes service) {
    return entry->region_len == region.len && entry->service_len == service.len &&
           memcmp(entry->fingerprint, credentials->fingerprint, CRT_SHA256_LEN) == 0 &&
           memcmp(entry->date, date, CRT_DATE_LEN) == 0 && memcmp(entry->region, region.ptr, region.len) == 0 &&
           memcmp(entry->service, service.ptr, service.len) == 0;
}

static bool look_up(const crt_credentials *credentials, const char *date, crt_bytes region, crt_bytes service,
                    crt_hmac *key) {
    bool found = false;
    if (!try_lock()) {
        return false;
    }
    for (size_t i = 0; i < CACHE_ENTRIES && !found; i++) {
        if (matches(&cache.entries[i], credentials, date, region, service)) {
            *key = cache.entries[i].key;
            found = true;
        }
    }
    unlock();
    return found;
}

static void remember(const crt_credentials *credentials, const char *date, crt_bytes region, crt_bytes service,
                     const crt_hmac *key) {
    if (!try_lock()) {
        return;
    }
    struct cached_key *entry = &cache.entries[cache.next];
    cache.next = (cache.next + 1) % CACHE_ENTRIES;
    crt_wipe(entry, sizeof(*entry));
    memcpy(entry->fingerprint, credentials->fingerprint, CRT_SHA256_LEN);
    memcpy(entry->date, date, CRT_DATE_LEN);
    entry->region_len = (uint8_t)region.len;
    memcpy(entry->region, region.ptr, region.len);
    entry->service_len = (uint8_t)service.len;
    memcpy(entry->service, service.ptr, service.len);
    entry->key = *key;
    unlock();
}

static int first_step(crt_bytes secret, const char *date, uint8_t key[CRT_SHA256_LEN]) {
    crt_buf seed = CRT_BUF_INIT;
    int code = crt_buf_reserve(&seed, 4 + secret.len); /* at once, so that no copy is left behind by growing */
    if (code) {
        return code;
    }
    crt_signing_put_str(&seed, "AWS4");
    crt_signing_put(&seed, secret);
    code = crt_hmac_sha256(crt_buf_view(&seed), crt_bytes_of(date, CRT_DATE_LEN), key);
    crt_wipe(seed.ptr, seed.end);
    crt_buf_free(&seed);
    return code;
}

static int derive(const crt_credentials *credentials, const char *date, crt_bytes region, crt_bytes service,
                  crt_hmac *out) {
    const crt_bytes steps[] = {region, service, crt_bytes_str("aws4_request")};
    uint8_t key[CRT_SHA256_LEN];
    int code = first_step(credentials->secret_access_key, date, key);
    for (size_t i = 0; !code && i < sizeof(steps) / sizeof(steps[0]); i++) {
        code = crt_hmac_sha256(crt_bytes_of(key, sizeof(key)), steps[i], key);
    }
    if (!code) {
        code = crt_hmac_init(out, crt_bytes_of(key, sizeof(key)));
    }
    crt_wipe(key, sizeof(key));
    return code;
}

int crt_signing_key(const crt_credentials *credentials, const char date[CRT_DATE_LEN], crt_bytes region,
                    crt_bytes service, crt_hmac *key) {
    bool cacheable = region.len && region.len <= NAME_MAX_LEN && service.len <= NAME_MAX_LEN;
    if (cacheable && look_up(credentials, date, region, service, key)) {
        return 0;
    }
    int code = derive(credentials, date, region, service, key);
    if (!code && cacheable) {
        remember(credentials, date, region, service, key);
    }
    return code;
}
