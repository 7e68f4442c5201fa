/*
 * datetime objects in CBOR: epoch times (tag 1) and RFC 3339 texts (tag 0). Python's datetime module does the
 * arithmetic; it is imported when a date is met.
 */
#include <math.h>

#include "cbor.h"

/* Below, a float64 of seconds is exact to the microsecond: its last bit is worth less than one. */
static const double EXACT_BELOW = 8589934592.0; /* 2^33 */

void awscrt_cbor_time_clear(awscrt_cbor_time *t) {
    Py_CLEAR(t->datetime);
    Py_CLEAR(t->timedelta);
    Py_CLEAR(t->utc);
    Py_CLEAR(t->epoch);
}

static int load(awscrt_cbor_time *t) {
    if (t->epoch) {
        return 0;
    }
    awscrt_cbor_time_clear(t); /* of an attempt that failed half-way */
    PyObject *module = PyImport_ImportModule("datetime");
    PyObject *timezone = module ? PyObject_GetAttrString(module, "timezone") : NULL;
    if (timezone) {
        t->datetime = PyObject_GetAttrString(module, "datetime");
        t->timedelta = PyObject_GetAttrString(module, "timedelta");
        t->utc = PyObject_GetAttrString(timezone, "utc");
    }
    if (t->datetime && t->timedelta && t->utc) {
        t->epoch = PyObject_CallFunction(t->datetime, "iiiiiiiO", 1970, 1, 1, 0, 0, 0, 0, t->utc);
    }
    Py_XDECREF(timezone);
    Py_XDECREF(module);
    return t->epoch ? 0 : -1;
}

int awscrt_cbor_is_datetime(awscrt_cbor_time *t, PyObject *object) {
    return load(t) ? -1 : PyObject_IsInstance(object, t->datetime);
}

static int integer_attribute(PyObject *object, const char *name, long long *value) {
    PyObject *attribute = PyObject_GetAttrString(object, name);
    *value = attribute ? PyLong_AsLongLong(attribute) : -1;
    Py_XDECREF(attribute);
    return *value == -1 && PyErr_Occurred() ? -1 : 0;
}

static bool has_zone(PyObject *object) {
    PyObject *offset = PyObject_CallMethod(object, "utcoffset", NULL);
    if (offset == Py_None) {
        PyErr_Format(PyExc_ValueError, "%R has no time zone: which instant it is cannot be told", object);
    }
    bool has = offset && offset != Py_None;
    Py_XDECREF(offset);
    return has;
}

PyObject *awscrt_cbor_from_datetime(awscrt_cbor_time *t, PyObject *object, unsigned *tag) {
    long long days, seconds, microseconds;
    PyObject *delta = has_zone(object) ? PyNumber_Subtract(object, t->epoch) : NULL;
    int status = delta ? 0 : -1;
    status = status ? status : integer_attribute(delta, "days", &days);
    status = status ? status : integer_attribute(delta, "seconds", &seconds);
    status = status ? status : integer_attribute(delta, "microseconds", &microseconds);
    Py_XDECREF(delta);
    if (status) {
        return NULL;
    }
    seconds += days * 86400;
    *tag = 1;
    if (microseconds == 0) {
        return PyLong_FromLongLong(seconds);
    }
    if (fabs((double)seconds) < EXACT_BELOW - 1) {
        return PyFloat_FromDouble((double)seconds + (double)microseconds / 1e6);
    }
    *tag = 0;
    return PyObject_CallMethod(object, "isoformat", NULL);
}

PyObject *awscrt_cbor_from_epoch(awscrt_cbor_time *t, PyObject *seconds) {
    if (!PyLong_CheckExact(seconds) && !PyFloat_CheckExact(seconds)) {
        PyErr_SetString(PyExc_ValueError, "an epoch time must be a number");
        return NULL;
    }
    PyObject *delta = load(t) ? NULL : PyObject_CallFunction(t->timedelta, "iO", 0, seconds);
    PyObject *result = delta ? PyNumber_Add(t->epoch, delta) : NULL;
    Py_XDECREF(delta);
    return result;
}

/* ---- RFC 3339, 5.6 ---- */

typedef struct scanner {
    const char *at;
    const char *end;
    bool good;
} scanner;

static int digits(scanner *s, int count) {
    int value = 0;
    for (; count > 0; count--, s->at++) {
        if (s->at == s->end || *s->at < '0' || *s->at > '9') {
            s->good = false;
            return 0;
        }
        value = value * 10 + (*s->at - '0');
    }
    return value;
}

/* One of two characters; which one, or 0. */
static char one_of(scanner *s, char a, char b) {
    if (s->at == s->end || (*s->at != a && *s->at != b)) {
        s->good = false;
        return 0;
    }
    return *s->at++;
}

/* ".123456789" to microseconds; what is finer is cut. */
static int fraction(scanner *s) {
    int value = 0, scale = 100000;
    if (s->at == s->end || *s->at != '.') {
        return 0;
    }
    s->at++;
    s->good = s->good && s->at < s->end && *s->at >= '0' && *s->at <= '9';
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++, scale /= 10) {
        value += (*s->at - '0') * scale;
    }
    return value;
}

/* "Z" or "+hh:mm" to seconds. Python's isoformat has "+hh:mm:ss", too, where a zone needs it. */
static int offset(scanner *s) {
    if (s->at < s->end && (*s->at == 'Z' || *s->at == 'z')) {
        s->at++;
        return 0;
    }
    char sign = one_of(s, '+', '-');
    int seconds = digits(s, 2) * 3600;
    one_of(s, ':', ':');
    seconds += digits(s, 2) * 60;
    if (s->at < s->end && *s->at == ':') {
        s->at++;
        seconds += digits(s, 2);
    }
    return sign == '-' ? -seconds : seconds;
}

static PyObject *zone_of(awscrt_cbor_time *t, int seconds) {
    if (seconds == 0) {
        return Py_NewRef(t->utc);
    }
    PyObject *delta = PyObject_CallFunction(t->timedelta, "ii", 0, seconds);
    PyObject *zone = delta ? PyObject_CallFunction((PyObject *)Py_TYPE(t->utc), "O", delta) : NULL;
    Py_XDECREF(delta);
    return zone;
}

PyObject *awscrt_cbor_from_rfc3339(awscrt_cbor_time *t, PyObject *text) {
    Py_ssize_t size = 0;
    const char *utf8 = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : "";
    if (!utf8) {
        return NULL;
    }
    scanner s = {utf8, utf8 + size, true};
    int year = digits(&s, 4);
    one_of(&s, '-', '-');
    int month = digits(&s, 2);
    one_of(&s, '-', '-');
    int day = digits(&s, 2);
    one_of(&s, 'T', 't');
    int hour = digits(&s, 2);
    one_of(&s, ':', ':');
    int minute = digits(&s, 2);
    one_of(&s, ':', ':');
    int second = digits(&s, 2);
    int microsecond = fraction(&s);
    int seconds_east = offset(&s);
    if (!s.good || s.at != s.end) {
        PyErr_SetString(PyExc_ValueError, "a date must be a text as in RFC 3339");
        return NULL;
    }
    PyObject *zone = load(t) ? NULL : zone_of(t, seconds_east);
    PyObject *result = zone ? PyObject_CallFunction(t->datetime, "iiiiiiiO", year, month, day, hour, minute, second,
                                                    microsecond, zone)
                            : NULL;
    Py_XDECREF(zone);
    return result;
}
