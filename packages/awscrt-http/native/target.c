#include "target.h"

#include <errno.h>

#if defined(_WIN32)
#include <io.h>
#else
#include <unistd.h>
#endif

struct awscrt_target {
    Py_buffer view;
    bool has_view;
    int fd; /* a duplicate; -1: there is a buffer */
    uint64_t received; /* atomic */
};

/* ---- Python's side ---- */

static bool is_text(PyObject *object) {
    PyObject *encoding = PyObject_GetAttrString(object, "encoding");
    PyErr_Clear();
    Py_XDECREF(encoding);
    return encoding != NULL;
}

/* What the file holds back is written first, so that the body follows it. */
static int open_file(awscrt_target *target, PyObject *object) {
    PyObject *number = is_text(object) ? NULL : PyObject_CallMethod(object, "fileno", NULL);
    if (!number) {
        PyErr_Format(PyExc_TypeError, "readinto must be a writable buffer or a binary file, not %R",
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    PyObject *flushed = PyObject_CallMethod(object, "flush", NULL);
    PyObject *copy = NULL;
    if (flushed) {
        PyObject *os = PyImport_ImportModule("os");
        copy = os ? PyObject_CallMethod(os, "dup", "O", number) : NULL;
        Py_XDECREF(os);
    }
    if (copy) {
        target->fd = (int)PyLong_AsLong(copy);
    }
    Py_DECREF(number);
    Py_XDECREF(flushed);
    Py_XDECREF(copy);
    return PyErr_Occurred() ? -1 : 0;
}

awscrt_target *awscrt_target_new(PyObject *object) {
    awscrt_target *target = crt_calloc(1, sizeof(*target));
    if (!target) {
        PyErr_NoMemory();
        return NULL;
    }
    target->fd = -1;
    int status = 0;
    if (PyObject_CheckBuffer(object)) {
        status = PyObject_GetBuffer(object, &target->view, PyBUF_WRITABLE);
        target->has_view = !status;
    } else {
        status = open_file(target, object);
    }
    if (status) {
        awscrt_target_free(target);
        return NULL;
    }
    return target;
}

void awscrt_target_free(awscrt_target *target) {
    if (!target) {
        return;
    }
    if (target->has_view) {
        PyBuffer_Release(&target->view);
    }
    if (target->fd >= 0) {
        close(target->fd);
    }
    crt_free(target);
}

uint64_t awscrt_target_received(const awscrt_target *target) {
    return __atomic_load_n(&target->received, __ATOMIC_ACQUIRE);
}

/* ---- the loop's side ---- */

bool awscrt_target_space(const awscrt_target *target, crt_span *space) {
    if (!target->has_view || target->received == (uint64_t)target->view.len) {
        return false;
    }
    space->ptr = (uint8_t *)target->view.buf + target->received;
    space->len = (size_t)((uint64_t)target->view.len - target->received);
    return true;
}

static int write_all(int fd, crt_bytes data) {
    enum { AT_ONCE = 1 << 30 };
    while (data.len > 0) {
        const size_t most = data.len < AT_ONCE ? data.len : AT_ONCE;
#if defined(_WIN32)
        const int n = _write(fd, data.ptr, (unsigned)most);
#else
        const ssize_t n = write(fd, data.ptr, most);
#endif
        if (n < 0 && errno != EINTR) {
            return AWS_ERROR_FILE_WRITE_FAILURE;
        }
        if (n > 0) {
            data = crt_bytes_of(data.ptr + n, data.len - (size_t)n);
        }
    }
    return 0;
}

int awscrt_target_take(awscrt_target *target, crt_bytes data) {
    int status = 0;
    if (!target->has_view) {
        status = write_all(target->fd, data);
    } else if (data.len > (uint64_t)target->view.len - target->received) {
        status = AWS_ERROR_SHORT_BUFFER;
    }
    if (!status) {
        __atomic_store_n(&target->received, target->received + data.len, __ATOMIC_RELEASE);
    }
    return status;
}
