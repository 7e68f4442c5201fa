/*
 * A PKCS#11 module that answers what the environment says, for the answers that SoftHSM does not give:
 *   PKCS11_VERSION   "2.40": what C_GetInfo and the function list tell
 *   PKCS11_KEY_TYPE  number: CKA_KEY_TYPE of its one private key
 *   PKCS11_KEY       path of a PEM file: what C_Sign signs with; without it, signatures are nonsense
 *   PKCS11_BYTES     number: length of those; 3 without it
 *   PKCS11_SIGN      number: what C_Sign returns
 *   PKCS11_LOGIN     number: what C_Login returns; without it, only a login without PIN succeeds
 */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11_types.h"

static CK_ULONG number(const char *name, CK_ULONG otherwise) {
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 0) : otherwise;
}

static CK_VERSION version(void) {
    unsigned major = 2, minor = 40;
    const char *value = getenv("PKCS11_VERSION");
    if (value) {
        sscanf(value, "%u.%u", &major, &minor);
    }
    return (CK_VERSION){(CK_BYTE)major, (CK_BYTE)minor};
}

static CK_RV initialize(void *args) {
    return CKR_OK;
}

static CK_RV finalize(void *reserved) {
    return CKR_OK;
}

static CK_RV get_info(CK_INFO *info) {
    info->cryptokiVersion = version();
    return CKR_OK;
}

static CK_RV get_slot_list(CK_BYTE token_present, CK_SLOT_ID *slots, CK_ULONG *count) {
    if (slots) {
        slots[0] = 7;
    }
    *count = 1;
    return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    memset(info->label, ' ', sizeof(info->label));
    memcpy(info->label, "scripted", 8);
    return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_ULONG flags, void *application, void *notify, CK_SESSION_HANDLE *out) {
    *out = 1;
    return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
    return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_ULONG user, const CK_BYTE *pin, CK_ULONG pin_len) {
    return number("PKCS11_LOGIN", pin ? 0xa0 : CKR_OK);
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template_, CK_ULONG count) {
    return CKR_OK;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG limit, CK_ULONG *count) {
    objects[0] = 1;
    *count = 1;
    return CKR_OK;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session) {
    return CKR_OK;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template_,
                                 CK_ULONG count) {
    CK_ULONG type = number("PKCS11_KEY_TYPE", CKK_EC);
    if (template_->type != CKA_KEY_TYPE) {
        template_->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return 0x12;
    }
    memcpy(template_->pValue, &type, sizeof(type));
    return CKR_OK;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key) {
    return CKR_OK;
}

/* r and s side by side, as CKM_ECDSA has them. */
static void unpack(const unsigned char *der, size_t len, CK_BYTE *out, CK_ULONG *out_len) {
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + 32, 32);
    ECDSA_SIG_free(signature);
    *out_len = 64;
}

static void sign_with(const char *path, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len) {
    FILE *file = fopen(path, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    fclose(file);
    EVP_PKEY_sign_init(ctx);
    EVP_PKEY_sign(ctx, signature, &len, in, in_len);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        unpack(signature, len, out, out_len);
    } else {
        memcpy(out, signature, len);
        *out_len = len;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static CK_RV sign(CK_SESSION_HANDLE session, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len) {
    const char *path = getenv("PKCS11_KEY");
    *out_len = number("PKCS11_BYTES", 3);
    memset(out, 1, *out_len);
    if (path) {
        sign_with(path, in, in_len, out, out_len);
    }
    return number("PKCS11_SIGN", CKR_OK);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    static CK_FUNCTION_LIST functions = {
        .C_Initialize = initialize,
        .C_Finalize = finalize,
        .C_GetInfo = get_info,
        .C_GetSlotList = get_slot_list,
        .C_GetTokenInfo = get_token_info,
        .C_OpenSession = open_session,
        .C_CloseSession = close_session,
        .C_Login = login,
        .C_GetAttributeValue = get_attribute_value,
        .C_FindObjectsInit = find_objects_init,
        .C_FindObjects = find_objects,
        .C_FindObjectsFinal = find_objects_final,
        .C_SignInit = sign_init,
        .C_Sign = sign,
    };
    functions.version = version();
    *list = &functions;
    return CKR_OK;
}
