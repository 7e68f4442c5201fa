/*
 * presign_many(): the URLs of one call are signed with one key, date and scope, without the GIL.
 *
 * What the call was given is copied into a tuple before anything is awaited: the str of methods and URLs in turn,
 * then a capsule with the headers. So nobody can change it while it is used.
 */
#include "signing.h"

#define HEADERS_NAME "awscrt.presign_headers"
/* URLs that are signed before their str are made: bounds the memory beside them. */
#define ROUND 256

/* ---- arguments ---- */

static void headers_dropped(PyObject *capsule) {
    crt_http_headers_release(PyCapsule_GetPointer(capsule, HEADERS_NAME));
}

/* HttpHeaders or None -> capsule with a copy; NULL + exception. */
static PyObject *copy_headers(PyObject *given) {
    crt_http_headers *from = given == Py_None ? NULL : awscrt_http_headers_get(given);
    if (!from && given != Py_None) {
        return NULL;
    }
    crt_http_headers *copy = crt_http_headers_new();
    size_t count = from ? crt_http_headers_count(from) : 0;
    int code = copy ? 0 : AWS_ERROR_OOM;
    for (size_t i = 0; !code && i < count; i++) {
        crt_http_header header = crt_http_headers_at(from, i);
        code = crt_http_headers_add(copy, header.name, header.value);
    }
    PyObject *capsule = code ? PyErr_NoMemory() : PyCapsule_New(copy, HEADERS_NAME, headers_dropped);
    if (!capsule) {
        crt_http_headers_release(copy);
    }
    return capsule;
}

/* Appends method and URL, as str that can be encoded. */
static int add_pair(PyObject *texts, PyObject *pair) {
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "each request must be a tuple (method, url), got %R", pair);
        return -1;
    }
    for (Py_ssize_t i = 0; i < 2; i++) {
        PyObject *text = PyTuple_GetItem(pair, i);
        if (!PyUnicode_Check(text)) {
            PyErr_Format(PyExc_TypeError, "method and URL must be str, got %R", (PyObject *)Py_TYPE(text));
            return -1;
        }
        if (!PyUnicode_AsUTF8AndSize(text, NULL) || PyList_Append(texts, text)) {
            return -1;
        }
    }
    return 0;
}

/* The subject of this signing; NULL + exception. */
static PyObject *subject_of(PyObject *requests, PyObject *headers) {
    PyObject *iterator = PyObject_GetIter(requests);
    PyObject *texts = iterator ? PyList_New(0) : NULL;
    PyObject *capsule = texts ? copy_headers(headers) : NULL;
    PyObject *pair;
    while (capsule && (pair = PyIter_Next(iterator))) {
        int status = add_pair(texts, pair);
        Py_DECREF(pair);
        if (status) {
            break;
        }
    }
    PyObject *subject = NULL;
    if (capsule && !PyErr_Occurred() && !PyList_Append(texts, capsule)) {
        subject = PyList_AsTuple(texts);
    }
    Py_XDECREF(capsule);
    Py_XDECREF(texts);
    Py_XDECREF(iterator);
    return subject;
}

/* ---- signing ---- */

typedef struct batch {
    crt_presigner *presigner;
    crt_bytes texts[2 * ROUND]; /* methods and URLs in turn */
    crt_buf signed_urls;        /* back to back */
    size_t ends[ROUND];
    crt_fault fault;
} batch;

static void read_texts(batch *b, PyObject *subject, Py_ssize_t first, size_t count) {
    for (size_t i = 0; i < 2 * count; i++) {
        Py_ssize_t len = 0;
        const char *text = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(subject, 2 * first + (Py_ssize_t)i), &len);
        b->texts[i] = crt_bytes_of(text, (size_t)len); /* encoded once already: does not fail */
    }
}

/* Without the GIL. How many were signed: fewer than asked for when one failed. */
static size_t sign_round(batch *b, size_t count) {
    crt_buf_clear(&b->signed_urls);
    for (size_t i = 0; i < count; i++) {
        if (crt_presign(b->presigner, b->texts[2 * i], b->texts[2 * i + 1], &b->signed_urls, &b->fault)) {
            return i;
        }
        b->ends[i] = crt_buf_len(&b->signed_urls);
    }
    return count;
}

static int append_urls(const batch *b, PyObject *result, size_t count) {
    const char *all = (const char *)crt_buf_data(&b->signed_urls);
    size_t start = 0;
    for (size_t i = 0; i < count; i++) {
        PyObject *url = PyUnicode_DecodeUTF8(all + start, (Py_ssize_t)(b->ends[i] - start), NULL);
        int status = url ? PyList_Append(result, url) : -1;
        Py_XDECREF(url);
        if (status) {
            return -1;
        }
        start = b->ends[i];
    }
    return 0;
}

/* 0, or a code with b->fault telling of it. */
static int sign_all(batch *b, PyObject *subject, PyObject *result) {
    Py_ssize_t total = PyTuple_Size(subject) / 2;
    for (Py_ssize_t first = 0; first < total; first += ROUND) {
        size_t count = (size_t)(total - first < ROUND ? total - first : ROUND);
        size_t done;
        read_texts(b, subject, first, count);
        Py_BEGIN_ALLOW_THREADS
        done = sign_round(b, count);
        Py_END_ALLOW_THREADS
        if (done < count) {
            char why[sizeof(b->fault.detail)];
            memcpy(why, b->fault.detail, sizeof(why));
            return crt_fail(&b->fault, b->fault.code, "URL %zd of %zd: %s", first + (Py_ssize_t)done + 1, total, why);
        }
        if (append_urls(b, result, count)) {
            return crt_fail(&b->fault, awscrt_code_of_exception(), "no memory for the URLs");
        }
    }
    return 0;
}

/* The presigner and the headers it refers to; NULL with `fault`. */
static crt_presigner *new_presigner(const crt_signing_config *config, const crt_credentials *credentials,
                                    const crt_http_headers *headers, crt_http_header **views, crt_fault *fault) {
    size_t count = crt_http_headers_count(headers);
    crt_presigner *presigner = NULL;
    *views = crt_malloc((count + 1) * sizeof(**views));
    if (!*views) {
        crt_fail(fault, AWS_ERROR_OOM, "no memory for the headers");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        (*views)[i] = crt_http_headers_at(headers, i);
    }
    crt_presigner_new(config, credentials, *views, count, &presigner, fault);
    return presigner;
}

static void presign(PyObject *future, PyObject *config_object, PyObject *subject,
                    const crt_credentials *credentials) {
    crt_signing_config config;
    crt_http_header *views = NULL;
    PyObject *capsule = PyTuple_GetItem(subject, PyTuple_Size(subject) - 1);
    PyObject *result = PyList_New(0);
    batch *b = crt_calloc(1, sizeof(*b));
    if (!result || !b || awscrt_signing_config_get(config_object, &config)) {
        PyErr_Clear();
        awscrt_signing_fail(future, AWS_ERROR_OOM, "");
        goto cleanup;
    }
    b->presigner =
        new_presigner(&config, credentials, PyCapsule_GetPointer(capsule, HEADERS_NAME), &views, &b->fault);
    if (!b->presigner || sign_all(b, subject, result)) {
        awscrt_signing_fail(future, b->fault.code, b->fault.detail);
        goto cleanup;
    }
    awscrt_future_set_result(future, result);
cleanup:
    if (b) {
        crt_presigner_free(b->presigner);
        crt_buf_free(&b->signed_urls);
    }
    crt_free(b);
    crt_free(views);
    Py_XDECREF(result);
}

/* ---- function ---- */

static PyObject *http_presign(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    crt_signing_config config;
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "presign() takes requests, a signing config and headers");
        return NULL;
    }
    if (awscrt_signing_config_get(args[1], &config)) {
        return NULL;
    }
    if (config.signature_type != CRT_SIGN_QUERY) {
        return awscrt_raise(AWS_AUTH_SIGNING_MISMATCHED_CONFIGURATION,
                            "URLs are signed with signature_type HTTP_REQUEST_QUERY_PARAMS");
    }
    PyObject *subject = subject_of(args[0], args[2]);
    PyObject *future = subject ? awscrt_signing_start(args[1], subject, presign) : NULL;
    Py_XDECREF(subject);
    return future;
}

PyMethodDef awscrt_http_presign_method = {
    "presign", (PyCFunction)(void (*)(void))http_presign, METH_FASTCALL,
    "presign(requests, config, headers, /)\n--\n\nFuture of the presigned URLs."};
