/*
 * awscrt.crypto: RSA, EC and ED25519 keys, as functions of the handle that their Python classes hold.
 *
 * The handles do not go through awscrt_handle_of: keys have no threads, so that a forked child may use those of its
 * parent. All operations release the GIL: the quickest takes longer than handing it over.
 */
#include "binding.h"
#include "input.h"

#include "crt/keys.h"

#define RSA_KEY AWSCRT_HANDLE("RSA")
#define EC_KEY AWSCRT_HANDLE("EC")
#define ED25519_KEY AWSCRT_HANDLE("ED25519")

/* ---- arguments ---- */

static int check_count(const char *function, Py_ssize_t count, Py_ssize_t expected) {
    if (count == expected) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, %zd given", function, expected, count);
    return -1;
}

/* NULL + TypeError when it is not a handle of this kind. */
static void *key_of(PyObject *handle, const char *kind) {
    if (PyCapsule_IsValid(handle, kind)) {
        return PyCapsule_GetPointer(handle, kind);
    }
    PyErr_Format(PyExc_TypeError, "expected the binding of %s, got %R", kind, (PyObject *)Py_TYPE(handle));
    return NULL;
}

/* An int; one that does not fit becomes -1, which no enumeration of ours contains. 0 or -1 + TypeError. */
static int parse_int(PyObject *object, const char *name, int *out) {
    if (!PyLong_Check(object)) { /* Python 3.9 and older would take a float */
        PyErr_Format(PyExc_TypeError, "%s must be an int, got %R", name, (PyObject *)Py_TYPE(object));
        return -1;
    }
    int overflow = 0;
    long value = PyLong_AsLongAndOverflow(object, &overflow);
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    *out = overflow || value > INT32_MAX || value < 0 ? -1 : (int)value;
    return 0;
}

static PyObject *bytes_or_error(int code, const void *data, size_t len) {
    return code == 0 ? PyBytes_FromStringAndSize(data, (Py_ssize_t)len) : awscrt_raise(code, NULL);
}

/* ---- RSA ---- */

static void rsa_destroy(PyObject *handle) {
    crt_rsa_free(PyCapsule_GetPointer(handle, RSA_KEY));
}

static PyObject *rsa_load(PyObject *data, int (*load)(crt_bytes data, crt_rsa **out), bool text, const char *wanted) {
    awscrt_input in;
    crt_rsa *key = NULL;
    int code;
    if (text ? awscrt_input_open_text(data, &in) : awscrt_input_open(data, &in)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = load(in.bytes, &key);
    Py_END_ALLOW_THREADS;
    awscrt_input_close(&in);
    if (code == AWS_ERROR_INVALID_ARGUMENT) {
        PyErr_Format(PyExc_ValueError, "the PEM text contains no unencrypted block %s", wanted);
        return NULL;
    }
    if (code != 0) {
        return awscrt_raise(code, NULL);
    }
    PyObject *handle = PyCapsule_New(key, RSA_KEY, rsa_destroy);
    if (!handle) {
        crt_rsa_free(key);
    }
    return handle;
}

static PyObject *rsa_private_pem(PyObject *module, PyObject *pem) {
    return rsa_load(pem, crt_rsa_new_private_pem, true, "RSA PRIVATE KEY (PKCS#1) or PRIVATE KEY (PKCS#8)");
}

static PyObject *rsa_public_pem(PyObject *module, PyObject *pem) {
    return rsa_load(pem, crt_rsa_new_public_pem, true, "RSA PUBLIC KEY (PKCS#1)");
}

static PyObject *rsa_private_der(PyObject *module, PyObject *der) {
    return rsa_load(der, crt_rsa_new_private_der, false, NULL);
}

static PyObject *rsa_public_der(PyObject *module, PyObject *der) {
    return rsa_load(der, crt_rsa_new_public_der, false, NULL);
}

/* What encrypt, decrypt and sign have in common: (key, algorithm, data) -> at most crt_rsa_size bytes. */
typedef int (*rsa_operation)(crt_rsa *key, int algorithm, crt_bytes data, uint8_t *out, size_t *out_len);

static PyObject *rsa_run(const char *function, const char *algorithm_name, PyObject *const *args, Py_ssize_t count,
                         rsa_operation run) {
    int algorithm, code;
    awscrt_input in;
    crt_rsa *key = check_count(function, count, 3) ? NULL : key_of(args[0], RSA_KEY);
    if (!key || parse_int(args[1], algorithm_name, &algorithm) || awscrt_input_open(args[2], &in)) {
        return NULL;
    }
    size_t len = crt_rsa_size(key);
    uint8_t *out = crt_malloc(len);
    if (!out) {
        awscrt_input_close(&in);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS;
    code = run(key, algorithm, in.bytes, out, &len);
    Py_END_ALLOW_THREADS;
    awscrt_input_close(&in);
    PyObject *result = bytes_or_error(code, out, len);
    crt_free(out);
    return result;
}

static int run_encrypt(crt_rsa *key, int algorithm, crt_bytes data, uint8_t *out, size_t *out_len) {
    *out_len = crt_rsa_size(key);
    return crt_rsa_encrypt(key, algorithm, data, out);
}

static int run_sign(crt_rsa *key, int algorithm, crt_bytes data, uint8_t *out, size_t *out_len) {
    *out_len = crt_rsa_size(key);
    return crt_rsa_sign(key, algorithm, data, out);
}

static PyObject *rsa_encrypt(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return rsa_run("rsa_encrypt", "encryption_algorithm", args, count, run_encrypt);
}

static PyObject *rsa_decrypt(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return rsa_run("rsa_decrypt", "encryption_algorithm", args, count, crt_rsa_decrypt);
}

static PyObject *rsa_sign(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return rsa_run("rsa_sign", "signature_algorithm", args, count, run_sign);
}

/* The last two arguments of both verify functions. */
static int open_signed(PyObject *digest, PyObject *signature, awscrt_input in[2]) {
    if (awscrt_input_open(digest, &in[0])) {
        return -1;
    }
    if (awscrt_input_open(signature, &in[1])) {
        awscrt_input_close(&in[0]);
        return -1;
    }
    return 0;
}

static PyObject *verdict(awscrt_input in[2], int code, bool valid) {
    awscrt_input_close(&in[0]);
    awscrt_input_close(&in[1]);
    return code == 0 ? PyBool_FromLong(valid) : awscrt_raise(code, NULL);
}

static PyObject *rsa_verify(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    int algorithm, code;
    bool valid;
    awscrt_input in[2];
    crt_rsa *key = check_count("rsa_verify", count, 4) ? NULL : key_of(args[0], RSA_KEY);
    if (!key || parse_int(args[1], "signature_algorithm", &algorithm) || open_signed(args[2], args[3], in)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_rsa_verify(key, algorithm, in[0].bytes, in[1].bytes, &valid);
    Py_END_ALLOW_THREADS;
    return verdict(in, code, valid);
}

/* ---- EC ---- */

static void ec_destroy(PyObject *handle) {
    crt_ec_free(PyCapsule_GetPointer(handle, EC_KEY));
}

static PyObject *ec_handle(int code, crt_ec *key) {
    if (code != 0) {
        return awscrt_raise(code, NULL);
    }
    PyObject *handle = PyCapsule_New(key, EC_KEY, ec_destroy);
    if (!handle) {
        crt_ec_free(key);
    }
    return handle;
}

static PyObject *ec_generate(PyObject *module, PyObject *type) {
    int curve, code;
    crt_ec *key;
    if (parse_int(type, "type", &curve)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_ec_generate(curve, &key);
    Py_END_ALLOW_THREADS;
    return ec_handle(code, key);
}

static PyObject *ec_load(PyObject *module, PyObject *der) {
    awscrt_input in;
    crt_ec *key;
    int code;
    if (awscrt_input_open(der, &in)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_ec_new_der(in.bytes, &key);
    Py_END_ALLOW_THREADS;
    awscrt_input_close(&in);
    return ec_handle(code, key);
}

static PyObject *ec_export(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint8_t out[CRT_EC_EXPORT_MAX];
    size_t len;
    int format;
    crt_ec *key = check_count("ec_export", count, 2) ? NULL : key_of(args[0], EC_KEY);
    if (!key || parse_int(args[1], "export_format", &format)) {
        return NULL;
    }
    int code = crt_ec_export(key, format, out, &len);
    return bytes_or_error(code, out, len);
}

static PyObject *ec_public_coordinates(PyObject *module, PyObject *handle) {
    crt_bytes x, y;
    crt_ec *key = key_of(handle, EC_KEY);
    if (!key) {
        return NULL;
    }
    crt_ec_public_coordinates(key, &x, &y);
    return Py_BuildValue("y#y#", x.ptr, (Py_ssize_t)x.len, y.ptr, (Py_ssize_t)y.len);
}

static PyObject *ec_sign(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint8_t out[CRT_EC_SIGNATURE_MAX];
    size_t len;
    int code;
    awscrt_input in;
    crt_ec *key = check_count("ec_sign", count, 2) ? NULL : key_of(args[0], EC_KEY);
    if (!key || awscrt_input_open(args[1], &in)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_ec_sign(key, in.bytes, out, &len);
    Py_END_ALLOW_THREADS;
    awscrt_input_close(&in);
    return bytes_or_error(code, out, len);
}

static PyObject *ec_verify(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    int code;
    bool valid;
    awscrt_input in[2];
    crt_ec *key = check_count("ec_verify", count, 3) ? NULL : key_of(args[0], EC_KEY);
    if (!key || open_signed(args[1], args[2], in)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    code = crt_ec_verify(key, in[0].bytes, in[1].bytes, &valid);
    Py_END_ALLOW_THREADS;
    return verdict(in, code, valid);
}

static PyObject *ec_decode_signature(PyObject *module, PyObject *signature) {
    crt_bytes r, s;
    awscrt_input in;
    if (awscrt_input_open(signature, &in)) {
        return NULL;
    }
    int code = crt_ec_signature_decode(in.bytes, &r, &s);
    PyObject *pair = code == 0 ? Py_BuildValue("y#y#", r.ptr, (Py_ssize_t)r.len, s.ptr, (Py_ssize_t)s.len)
                               : awscrt_raise(code, NULL);
    awscrt_input_close(&in);
    return pair;
}

enum { PAD_TO_MAX = 256 };

static PyObject *padded_pair(crt_bytes r, crt_bytes s, int pad_to) {
    uint8_t out[2 * PAD_TO_MAX] = {0};
    size_t width = (size_t)pad_to;
    if (pad_to < 0 || pad_to > PAD_TO_MAX || r.len > width || s.len > width) {
        return awscrt_raise(AWS_ERROR_INVALID_ARGUMENT, "pad_to must be from the longer number's length to 256.");
    }
    memcpy(out + width - r.len, r.ptr, r.len);
    memcpy(out + 2 * width - s.len, s.ptr, s.len);
    return PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)(2 * width));
}

static PyObject *ec_decode_signature_padded(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    int pad_to;
    crt_bytes r, s;
    awscrt_input in;
    if (check_count("ec_decode_signature_padded", count, 2) || parse_int(args[1], "pad_to", &pad_to) ||
        awscrt_input_open(args[0], &in)) {
        return NULL;
    }
    int code = crt_ec_signature_decode(in.bytes, &r, &s);
    PyObject *pair = code == 0 ? padded_pair(r, s, pad_to) : awscrt_raise(code, NULL);
    awscrt_input_close(&in);
    return pair;
}

static PyObject *ec_encode_signature(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    uint8_t out[CRT_EC_ENCODED_SIGNATURE_MAX];
    size_t len;
    awscrt_input in[2];
    if (check_count("ec_encode_signature", count, 2) || open_signed(args[0], args[1], in)) {
        return NULL;
    }
    int code = crt_ec_signature_encode(in[0].bytes, in[1].bytes, out, &len);
    awscrt_input_close(&in[0]);
    awscrt_input_close(&in[1]);
    return bytes_or_error(code, out, len);
}

/* ---- Ed25519 ---- */

static void ed25519_destroy(PyObject *handle) {
    crt_ed25519_free(PyCapsule_GetPointer(handle, ED25519_KEY));
}

static PyObject *ed25519_generate(PyObject *module, PyObject *none) {
    crt_ed25519 *key;
    int code = crt_ed25519_generate(&key);
    if (code != 0) {
        return awscrt_raise(code, NULL);
    }
    PyObject *handle = PyCapsule_New(key, ED25519_KEY, ed25519_destroy);
    if (!handle) {
        crt_ed25519_free(key);
    }
    return handle;
}

/* awscrt.crypto.ED25519ExportFormat */
enum ed25519_format { ED25519_RAW, ED25519_OPENSSH_B64 };

static crt_ed25519 *parse_ed25519_export(const char *function, PyObject *const *args, Py_ssize_t count, int *format) {
    crt_ed25519 *key = check_count(function, count, 2) ? NULL : key_of(args[0], ED25519_KEY);
    return key && parse_int(args[1], "export_format", format) == 0 ? key : NULL;
}

static PyObject *ed25519_export_public(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char text[CRT_ED25519_OPENSSH_PUBLIC_LEN];
    int format;
    crt_ed25519 *key = parse_ed25519_export("ed25519_export_public", args, count, &format);
    if (!key) {
        return NULL;
    }
    switch (format) {
    case ED25519_RAW:
        return bytes_or_error(0, key->point, sizeof(key->point));
    case ED25519_OPENSSH_B64:
        crt_ed25519_openssh_public(key, text);
        return bytes_or_error(0, text, sizeof(text));
    default:
        return awscrt_raise(AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT, NULL);
    }
}

static PyObject *ed25519_export_private(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char text[CRT_ED25519_OPENSSH_PRIVATE_LEN];
    int format, code;
    crt_ed25519 *key = parse_ed25519_export("ed25519_export_private", args, count, &format);
    if (!key) {
        return NULL;
    }
    switch (format) {
    case ED25519_RAW:
        return bytes_or_error(0, key->seed, sizeof(key->seed));
    case ED25519_OPENSSH_B64:
        code = crt_ed25519_openssh_private(key, text);
        return bytes_or_error(code, text, sizeof(text));
    default:
        return awscrt_raise(AWS_ERROR_CAL_UNSUPPORTED_KEY_FORMAT, NULL);
    }
}

#define FAST(function) (PyCFunction)(void (*)(void))function, METH_FASTCALL

PyMethodDef awscrt_key_methods[] = {
    {"rsa_private_pem", rsa_private_pem, METH_O, "(pem) -> handle"},
    {"rsa_public_pem", rsa_public_pem, METH_O, "(pem) -> handle"},
    {"rsa_private_der", rsa_private_der, METH_O, "(der) -> handle"},
    {"rsa_public_der", rsa_public_der, METH_O, "(der) -> handle"},
    {"rsa_encrypt", FAST(rsa_encrypt), "(handle, algorithm, plaintext) -> bytes"},
    {"rsa_decrypt", FAST(rsa_decrypt), "(handle, algorithm, ciphertext) -> bytes"},
    {"rsa_sign", FAST(rsa_sign), "(handle, algorithm, digest) -> bytes"},
    {"rsa_verify", FAST(rsa_verify), "(handle, algorithm, digest, signature) -> bool"},
    {"ec_generate", ec_generate, METH_O, "(curve) -> handle"},
    {"ec_load", ec_load, METH_O, "(der) -> handle"},
    {"ec_export", FAST(ec_export), "(handle, format) -> bytes"},
    {"ec_public_coordinates", ec_public_coordinates, METH_O, "(handle) -> (x, y)"},
    {"ec_sign", FAST(ec_sign), "(handle, digest) -> bytes"},
    {"ec_verify", FAST(ec_verify), "(handle, digest, signature) -> bool"},
    {"ec_decode_signature", ec_decode_signature, METH_O, "(der) -> (r, s)"},
    {"ec_decode_signature_padded", FAST(ec_decode_signature_padded), "(der, pad_to) -> bytes"},
    {"ec_encode_signature", FAST(ec_encode_signature), "(r, s) -> bytes"},
    {"ed25519_generate", ed25519_generate, METH_NOARGS, "() -> handle"},
    {"ed25519_export_public", FAST(ed25519_export_public), "(handle, format) -> bytes"},
    {"ed25519_export_private", FAST(ed25519_export_private), "(handle, format) -> bytes"},
    {NULL, NULL, 0, NULL},
};
