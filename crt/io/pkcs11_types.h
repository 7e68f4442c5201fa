/*
 * The part of PKCS#11 v2.40 (OASIS) that signing with a token's key takes: types, constants, and the function list
 * up to the last function used. Written from the standard's text, where the names are from.
 */
#ifndef CRT_IO_PKCS11_TYPES_H
#define CRT_IO_PKCS11_TYPES_H

#if defined(_WIN32)
#pragma pack(push, 1) /* section 2.1: on Windows, and only there, structures are packed */
#endif

typedef unsigned char CK_BYTE;
typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;
typedef CK_ULONG CK_SLOT_ID;
typedef CK_ULONG CK_SESSION_HANDLE;
typedef CK_ULONG CK_OBJECT_HANDLE;

typedef struct CK_VERSION {
    CK_BYTE major;
    CK_BYTE minor;
} CK_VERSION;

typedef struct CK_INFO {
    CK_VERSION cryptokiVersion;
    CK_BYTE manufacturerID[32];
    CK_ULONG flags;
    CK_BYTE libraryDescription[32];
    CK_VERSION libraryVersion;
} CK_INFO;

typedef struct CK_C_INITIALIZE_ARGS {
    void *CreateMutex, *DestroyMutex, *LockMutex, *UnlockMutex; /* all NULL: the library brings its own */
    CK_ULONG flags;
    void *pReserved;
} CK_C_INITIALIZE_ARGS;

typedef struct CK_TOKEN_INFO {
    CK_BYTE label[32]; /* padded with blanks */
    CK_BYTE manufacturerID[32];
    CK_BYTE model[16];
    CK_BYTE serialNumber[16];
    CK_ULONG flags;
    CK_ULONG ulMaxSessionCount, ulSessionCount, ulMaxRwSessionCount, ulRwSessionCount;
    CK_ULONG ulMaxPinLen, ulMinPinLen;
    CK_ULONG ulTotalPublicMemory, ulFreePublicMemory, ulTotalPrivateMemory, ulFreePrivateMemory;
    CK_VERSION hardwareVersion;
    CK_VERSION firmwareVersion;
    CK_BYTE utcTime[16];
} CK_TOKEN_INFO;

typedef struct CK_ATTRIBUTE {
    CK_ULONG type;
    void *pValue;
    CK_ULONG ulValueLen;
} CK_ATTRIBUTE;

typedef struct CK_MECHANISM {
    CK_ULONG mechanism;
    void *pParameter;
    CK_ULONG ulParameterLen;
} CK_MECHANISM;

#define CK_UNAVAILABLE_INFORMATION (~(CK_ULONG)0)

enum {
    CKF_OS_LOCKING_OK = 0x2,
    CKF_SERIAL_SESSION = 0x4,
    CKU_USER = 1,
    CKO_PRIVATE_KEY = 3,
    CKK_RSA = 0,
    CKK_EC = 3,
    CKA_CLASS = 0,
    CKA_LABEL = 3,
    CKA_KEY_TYPE = 0x100,
    CKA_MODULUS = 0x120,
    CKM_RSA_PKCS = 0x1,
    CKM_ECDSA = 0x1041,
};

/* The values that this code tells apart; all of them are in pkcs11_status.c. */
enum {
    CKR_OK = 0,
    CKR_USER_ALREADY_LOGGED_IN = 0x100,
    CKR_BUFFER_TOO_SMALL = 0x150,
    CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,
};

typedef struct CK_FUNCTION_LIST {
    CK_VERSION version;
    CK_RV (*C_Initialize)(void *args);
    CK_RV (*C_Finalize)(void *reserved);
    CK_RV (*C_GetInfo)(CK_INFO *info);
    void *C_GetFunctionList;
    CK_RV (*C_GetSlotList)(CK_BYTE token_present, CK_SLOT_ID *slots, CK_ULONG *count);
    void *C_GetSlotInfo;
    CK_RV (*C_GetTokenInfo)(CK_SLOT_ID slot, CK_TOKEN_INFO *info);
    void *C_GetMechanismList, *C_GetMechanismInfo, *C_InitToken, *C_InitPIN, *C_SetPIN;
    CK_RV (*C_OpenSession)(CK_SLOT_ID slot, CK_ULONG flags, void *application, void *notify, CK_SESSION_HANDLE *out);
    CK_RV (*C_CloseSession)(CK_SESSION_HANDLE session);
    void *C_CloseAllSessions, *C_GetSessionInfo, *C_GetOperationState, *C_SetOperationState;
    CK_RV (*C_Login)(CK_SESSION_HANDLE session, CK_ULONG user, const CK_BYTE *pin, CK_ULONG pin_len);
    void *C_Logout, *C_CreateObject, *C_CopyObject, *C_DestroyObject, *C_GetObjectSize;
    CK_RV (*C_GetAttributeValue)(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template_,
                                 CK_ULONG count);
    void *C_SetAttributeValue;
    CK_RV (*C_FindObjectsInit)(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template_, CK_ULONG count);
    CK_RV (*C_FindObjects)(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG limit, CK_ULONG *count);
    CK_RV (*C_FindObjectsFinal)(CK_SESSION_HANDLE session);
    void *C_EncryptInit, *C_Encrypt, *C_EncryptUpdate, *C_EncryptFinal;
    void *C_DecryptInit, *C_Decrypt, *C_DecryptUpdate, *C_DecryptFinal;
    void *C_DigestInit, *C_Digest, *C_DigestUpdate, *C_DigestKey, *C_DigestFinal;
    CK_RV (*C_SignInit)(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
    CK_RV (*C_Sign)(CK_SESSION_HANDLE session, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len);
} CK_FUNCTION_LIST;

#if defined(_WIN32)
#pragma pack(pop)
#endif
#endif
