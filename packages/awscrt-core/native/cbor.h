/*
 * awscrt.cbor, internal: Python objects to CBOR items and back. The bytes themselves are crt/cbor.h's.
 */
#ifndef AWSCRT_CBOR_H
#define AWSCRT_CBOR_H

#include "binding.h"
#include "crt/cbor.h"

/* ---- cbor_time.c: datetime objects ---- */

/* What of the datetime module was needed so far; zeroed at first. */
typedef struct awscrt_cbor_time {
    PyObject *datetime;  /* the class */
    PyObject *timedelta; /* the class */
    PyObject *utc;
    PyObject *epoch; /* 1970-01-01, UTC */
} awscrt_cbor_time;

void awscrt_cbor_time_clear(awscrt_cbor_time *time);
/* 1: a datetime. 0: something else. -1 + exception. */
int awscrt_cbor_is_datetime(awscrt_cbor_time *time, PyObject *object);
/*
 * What stands behind which tag for a datetime: an int or float of seconds for tag 1; an RFC 3339 text for tag 0 where
 * a float would lose microseconds. NULL + ValueError without a time zone.
 */
PyObject *awscrt_cbor_from_datetime(awscrt_cbor_time *time, PyObject *object, unsigned *tag);
/* Content of tag 1 and tag 0 to a datetime in UTC or with the text's offset. NULL + exception. */
PyObject *awscrt_cbor_from_epoch(awscrt_cbor_time *time, PyObject *seconds);
PyObject *awscrt_cbor_from_rfc3339(awscrt_cbor_time *time, PyObject *text);

/* ---- cbor_write.c ---- */

enum awscrt_cbor_rules {
    AWSCRT_CBOR_ITEM, /* AwsCborEncoder.write_data_item: exact types, floats become integers where equal */
    AWSCRT_CBOR_WHOLE /* dumps, loads: whatever has a meaning, and back again unchanged */
};

typedef struct awscrt_cbor_limits {
    size_t depth; /* levels, the innermost scalar included */
    size_t size;  /* bytes */
} awscrt_cbor_limits;

/* 0 or -1 + exception; `out` keeps what was written before. */
int awscrt_cbor_write(crt_buf *out, PyObject *object, enum awscrt_cbor_rules rules, const awscrt_cbor_limits *limits);
/* Single elements. */
int awscrt_cbor_write_head(crt_buf *out, unsigned major, uint64_t value);
int awscrt_cbor_write_string(crt_buf *out, unsigned major, const void *data, size_t len);
/* A str of any class. TypeError when it holds lone surrogates. */
int awscrt_cbor_write_text(crt_buf *out, PyObject *text);
/* 1: written. 0: out of the range of 64 bits and a sign, nothing written. -1 + exception. */
int awscrt_cbor_write_int(crt_buf *out, PyObject *number);

/* ---- cbor_read.c ---- */

/* A position in a source, and what its user wants. Zeroed but for the fields that are set. */
typedef struct awscrt_cbor_reader {
    const uint8_t *begin;
    crt_bytes rest;
    enum awscrt_cbor_rules rules;
    size_t max_depth;      /* levels, the innermost scalar included */
    uint64_t max_entries;  /* of definite containers */
    PyObject *on_tag;      /* borrowed, NULL or: ITEM: callable(seconds); WHOLE: callable(number, content) */
    int failed;            /* ITEM: the code that every later call fails with, too */
    bool unexpected;       /* ITEM: `rest` begins with a valid element of a wrong type */
    awscrt_cbor_time time;
} awscrt_cbor_reader;

/* One whole item; `rest` is behind it. NULL + exception: `rest` is where it could not go on. */
PyObject *awscrt_cbor_read(awscrt_cbor_reader *reader);
/* -1-n */
PyObject *awscrt_cbor_negative_int(uint64_t n);
/* Raises what `code` means under the reader's rules: RuntimeError (remembered where it must be), or ValueError. */
void awscrt_cbor_fail(awscrt_cbor_reader *reader, int code, const uint8_t *at, const char *what);

/* ---- cbor_encoder.c, cbor_decoder.c ---- */

/* Native bases of the two classes, derived from NativeResource. New references, or NULL + exception. */
PyObject *awscrt_cbor_encoder_type(PyObject *native_resource);
PyObject *awscrt_cbor_decoder_type(PyObject *native_resource);

#endif
