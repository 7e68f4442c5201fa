/*
 * One key of one token: the session it is used through, and its operations.
 *
 * PKCS#11 keeps the state of an operation in the session (C_SignInit, then C_Sign), so a lock serializes them.
 */
#include <uv.h>

#include "crt/log.h"
#include "crt/memory.h"
#include "pkcs11_key.h"

struct crt_pkcs11_key {
    crt_refcount refs;
    crt_pkcs11_lib *lib;
    const CK_FUNCTION_LIST *functions;
    uv_mutex_t lock;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;
    CK_ULONG type;
    bool session_open;
};

/* ---- the token ---- */

/* All slots with a token in them. A token may be plugged in between the two calls, hence the loop. */
static int list_slots(const CK_FUNCTION_LIST *functions, CK_SLOT_ID **out, CK_ULONG *count, crt_fault *fault) {
    CK_SLOT_ID *slots = NULL;
    CK_RV answer = functions->C_GetSlotList(1, NULL, count);

    while (answer == CKR_OK && *count > 0) {
        CK_SLOT_ID *more = crt_realloc(slots, *count * sizeof(*slots));
        if (!more) {
            crt_free(slots);
            return crt_fail(fault, AWS_ERROR_OOM, "no memory for %lu PKCS#11 slots", *count);
        }
        slots = more;
        answer = functions->C_GetSlotList(1, slots, count);
        if (answer != CKR_BUFFER_TOO_SMALL) {
            break;
        }
        answer = CKR_OK;
    }
    if (answer != CKR_OK) {
        crt_free(slots);
        return crt_pkcs11_fail(fault, "C_GetSlotList", answer);
    }
    *out = slots;
    return 0;
}

static bool label_is(const CK_BYTE label[32], crt_bytes wanted) {
    size_t len = 32;

    while (len > 0 && label[len - 1] == ' ') {
        len--;
    }
    return crt_bytes_eq(crt_bytes_of(label, len), wanted);
}

static int matches(const CK_FUNCTION_LIST *functions, CK_SLOT_ID slot, const crt_pkcs11_options *options, bool *match,
                   crt_fault *fault) {
    CK_TOKEN_INFO info = {0};
    CK_RV answer;

    *match = !options->slot_id || *options->slot_id == slot;
    if (!*match || !options->token_label.ptr) {
        return 0;
    }
    answer = functions->C_GetTokenInfo(slot, &info);
    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_GetTokenInfo", answer);
    }
    *match = label_is(info.label, options->token_label);
    return 0;
}

static int find_slot(const CK_FUNCTION_LIST *functions, const crt_pkcs11_options *options, CK_SLOT_ID *out,
                     crt_fault *fault) {
    CK_SLOT_ID *slots = NULL;
    CK_ULONG count = 0, found = 0, i;
    int status = list_slots(functions, &slots, &count, fault);

    for (i = 0; status == 0 && i < count; i++) {
        bool match;
        status = matches(functions, slots[i], options, &match, fault);
        if (status == 0 && match) {
            *out = slots[i];
            found++;
        }
    }
    crt_free(slots);
    if (status == 0 && found != 1) {
        return crt_fail(fault, AWS_ERROR_PKCS11_TOKEN_NOT_FOUND,
                        "%lu of the %lu PKCS#11 tokens match; name one by slot_id or token_label", found, count);
    }
    return status;
}

static int log_in(crt_pkcs11_key *key, crt_bytes pin, crt_fault *fault) {
    CK_RV answer = key->functions->C_Login(key->session, CKU_USER, pin.ptr, pin.len);

    /* The login belongs to all sessions that the process has with the token. */
    if (answer == CKR_OK || answer == CKR_USER_ALREADY_LOGGED_IN) {
        return 0;
    }
    return crt_pkcs11_fail(fault, "C_Login", answer);
}

/* ---- the key ---- */

static int find_object(crt_pkcs11_key *key, crt_bytes label, crt_fault *fault) {
    CK_ULONG class = CKO_PRIVATE_KEY, count = 0;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)},
                             {CKA_LABEL, (void *)(uintptr_t)label.ptr, (CK_ULONG)label.len}};
    CK_OBJECT_HANDLE objects[2];
    CK_RV answer, end;

    answer = key->functions->C_FindObjectsInit(key->session, wanted, label.ptr ? 2 : 1);
    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_FindObjectsInit", answer);
    }
    answer = key->functions->C_FindObjects(key->session, objects, 2, &count);
    end = key->functions->C_FindObjectsFinal(key->session);
    if (answer != CKR_OK || end != CKR_OK) {
        return answer != CKR_OK ? crt_pkcs11_fail(fault, "C_FindObjects", answer)
                                : crt_pkcs11_fail(fault, "C_FindObjectsFinal", end);
    }
    if (count != 1) {
        return crt_fail(fault, AWS_ERROR_PKCS11_KEY_NOT_FOUND,
                        count ? "several private keys on the PKCS#11 token match; name one by private_key_label"
                              : "no private key on the PKCS#11 token matches");
    }
    key->object = objects[0];
    return 0;
}

static int read_type(crt_pkcs11_key *key, crt_fault *fault) {
    CK_ATTRIBUTE type = {CKA_KEY_TYPE, &key->type, sizeof(key->type)};
    CK_RV answer = key->functions->C_GetAttributeValue(key->session, key->object, &type, 1);

    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_GetAttributeValue", answer);
    }
    if (key->type != CKK_RSA && key->type != CKK_EC) {
        return crt_fail(fault, AWS_ERROR_PKCS11_KEY_TYPE_UNSUPPORTED,
                        "the PKCS#11 key has type 0x%lx; RSA and EC keys are supported", key->type);
    }
    return 0;
}

static int open_session(crt_pkcs11_key *key, const crt_pkcs11_options *options, crt_fault *fault) {
    CK_SLOT_ID slot = 0;
    CK_RV answer;
    int status = find_slot(key->functions, options, &slot, fault);

    if (status) {
        return status;
    }
    answer = key->functions->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &key->session);
    if (answer != CKR_OK) {
        return crt_pkcs11_fail(fault, "C_OpenSession", answer);
    }
    key->session_open = true;
    return log_in(key, options->pin, fault);
}

int crt_pkcs11_key_open(const crt_pkcs11_options *options, crt_pkcs11_key **out, crt_fault *fault) {
    crt_pkcs11_key *key = crt_calloc(1, sizeof(*key));
    int status;

    *out = NULL;
    if (!key || uv_mutex_init(&key->lock)) {
        crt_free(key);
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for a PKCS#11 key");
    }
    crt_ref_init(&key->refs);
    key->lib = crt_pkcs11_lib_acquire(options->lib);
    key->functions = crt_pkcs11_functions(options->lib);
    status = open_session(key, options, fault);
    if (status == 0) {
        status = find_object(key, options->key_label, fault);
    }
    if (status == 0) {
        status = read_type(key, fault);
    }
    if (status) {
        crt_pkcs11_key_release(key);
        return status;
    }
    *out = key;
    return 0;
}

crt_pkcs11_key *crt_pkcs11_key_acquire(crt_pkcs11_key *key) {
    crt_ref_inc(&key->refs);
    return key;
}

void crt_pkcs11_key_release(crt_pkcs11_key *key) {
    if (!key || !crt_ref_dec(&key->refs)) {
        return;
    }
    if (key->session_open) {
        /* No C_Logout: it would end the login of the other sessions. The last session's end does that. */
        CK_RV answer = key->functions->C_CloseSession(key->session);
        if (answer != CKR_OK) {
            crt_fault fault;
            crt_pkcs11_fail(&fault, "C_CloseSession", answer);
            CRT_LOG(CRT_LOG_WARN, CRT_LS_PKCS11, "%s", fault.detail);
        }
    }
    uv_mutex_destroy(&key->lock);
    crt_pkcs11_lib_release(key->lib);
    crt_free(key);
}

CK_ULONG crt_pkcs11_key_type(const crt_pkcs11_key *key) {
    return key->type;
}

bool crt_pkcs11_key_may_have_modulus(crt_pkcs11_key *key, crt_bytes modulus) {
    uint8_t value[2048]; /* 16384 bits, OpenSSL's limit */
    CK_ATTRIBUTE wanted = {CKA_MODULUS, value, sizeof(value)};
    CK_RV answer;
    size_t zeros = 0;

    uv_mutex_lock(&key->lock);
    answer = key->functions->C_GetAttributeValue(key->session, key->object, &wanted, 1);
    uv_mutex_unlock(&key->lock);
    if (answer != CKR_OK || wanted.ulValueLen == CK_UNAVAILABLE_INFORMATION || wanted.ulValueLen == 0 ||
        wanted.ulValueLen > sizeof(value)) {
        return true;
    }
    while (zeros < wanted.ulValueLen && value[zeros] == 0) {
        zeros++;
    }
    return crt_bytes_eq(crt_bytes_of(value + zeros, wanted.ulValueLen - zeros), modulus);
}

int crt_pkcs11_key_sign(crt_pkcs11_key *key, CK_ULONG mechanism, crt_bytes data, uint8_t *out, size_t *out_len,
                        crt_fault *fault) {
    CK_MECHANISM how = {.mechanism = mechanism};
    CK_ULONG len = (CK_ULONG)*out_len;
    const char *function = "C_SignInit";
    CK_RV answer;

    uv_mutex_lock(&key->lock);
    answer = key->functions->C_SignInit(key->session, &how, key->object);
    if (answer == CKR_OK) {
        function = "C_Sign";
        answer = key->functions->C_Sign(key->session, data.ptr, (CK_ULONG)data.len, out, &len);
    }
    uv_mutex_unlock(&key->lock);
    *out_len = len;
    return answer == CKR_OK ? 0 : crt_pkcs11_fail(fault, function, answer);
}
