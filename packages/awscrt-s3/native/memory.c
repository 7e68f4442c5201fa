/*
 * Memory of parts: bytes objects that the engine fills and on_body gets.
 *
 * A part's memory that the callback did not keep serves the next part. Fresh memory would have to be cleared by the
 * system first, which costs as much as receiving the bytes.
 */
#include "binding.h"

#include <stdint.h>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

/* Fresh memory costs one page fault per page, which for 4 KiB pages is dearer than receiving the bytes. */
static void prefer_huge_pages(char *memory, size_t length) {
#if defined(MADV_HUGEPAGE)
    const uintptr_t huge = 2 * 1024 * 1024;
    uintptr_t first = ((uintptr_t)memory + huge - 1) & ~(huge - 1);
    uintptr_t end = ((uintptr_t)memory + length) & ~(huge - 1);
    if (first < end) {
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE); /* a wish; systems without them go on as before */
    }
#endif
}

static PyObject *take_spare(awscrt_s3_run *run, uint64_t length) {
    for (size_t i = 0; i < AWSCRT_S3_SPARES; i++) {
        PyObject *bytes = run->spares[i];
        if (bytes && (uint64_t)PyBytes_Size(bytes) == length) {
            run->spares[i] = NULL;
            return bytes;
        }
    }
    return NULL;
}

PyObject *awscrt_s3_bytes_new(awscrt_s3_run *run, uint64_t length) {
    PyObject *bytes = take_spare(run, length);
    if (bytes || length > (uint64_t)PY_SSIZE_T_MAX) {
        return bytes;
    }
    bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    PyErr_Clear();
    if (bytes) {
        prefer_huge_pages(PyBytes_AsString(bytes), (size_t)length);
    }
    return bytes;
}

#if defined(Py_GIL_DISABLED)
/* Without the GIL another thread may be taking a reference while we count them. */
static bool is_only_ours(PyObject *bytes) {
    (void)bytes;
    return false;
}
#else
static bool is_only_ours(PyObject *bytes) {
    return Py_REFCNT(bytes) == 1 && PyBytes_Size(bytes) >= AWSCRT_S3_SPARE_MIN;
}
#endif

/* A bytes object caches its hash in the word before its data; the next content has another. */
static void forget_hash(PyObject *bytes) {
    const Py_hash_t none = -1;
    memcpy(PyBytes_AsString(bytes) - sizeof(none), &none, sizeof(none));
}

void awscrt_s3_bytes_done(awscrt_s3_run *run, PyObject *bytes) {
    for (size_t i = 0; is_only_ours(bytes) && i < AWSCRT_S3_SPARES; i++) {
        if (!run->spares[i]) {
            forget_hash(bytes);
            run->spares[i] = bytes;
            return;
        }
    }
    Py_DECREF(bytes);
}

void awscrt_s3_spares_drop(awscrt_s3_run *run) {
    for (size_t i = 0; i < AWSCRT_S3_SPARES; i++) {
        Py_CLEAR(run->spares[i]);
    }
}
