#include "xml.h"

#include <expat.h>

#include "crt/status.h"

/* Path of the element that is open now, compared with the one looked for. Deeper than this matches nothing. */
enum { PATH_MAX_LENGTH = 128 };

struct finder {
    XML_Parser parser;
    const char *wanted;
    char path[PATH_MAX_LENGTH];
    size_t path_len; /* may exceed the buffer: the tail is not stored */
    bool inside;
    bool found;
    char *out;
    size_t used;
    size_t size;
};

static void append_path(struct finder *f, const char *name) {
    size_t need = strlen(name) + (f->path_len ? 1 : 0);
    if (f->path_len + need < sizeof f->path) {
        char *at = f->path + f->path_len;
        if (f->path_len) {
            *at++ = '/';
        }
        memcpy(at, name, strlen(name) + 1);
    }
    f->path_len += need;
}

static void XMLCALL element_start(void *user, const XML_Char *name, const XML_Char **attributes) {
    struct finder *f = user;
    append_path(f, name);
    f->inside = f->path_len < sizeof f->path && strcmp(f->path, f->wanted) == 0;
}

static void XMLCALL element_end(void *user, const XML_Char *name) {
    struct finder *f = user;
    if (f->inside) {
        f->found = true;
        XML_StopParser(f->parser, XML_FALSE);
        return;
    }
    size_t length = strlen(name);
    f->path_len -= f->path_len > length ? length + 1 : length;
    if (f->path_len < sizeof f->path) {
        f->path[f->path_len] = '\0';
    }
}

static void XMLCALL element_text(void *user, const XML_Char *text, int length) {
    struct finder *f = user;
    size_t room = f->size - 1 - f->used;
    size_t n = (size_t)length < room ? (size_t)length : room;
    if (f->inside) {
        memcpy(f->out + f->used, text, n);
        f->used += n;
    }
}

/* S3 sends no DTD; refusing it keeps entity tricks out. */
static void XMLCALL doctype_start(void *user, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid,
                                  int has_internal_subset) {
    struct finder *f = user;
    XML_StopParser(f->parser, XML_FALSE);
}

bool crt_s3_xml_text(crt_bytes document, const char *path, char *out, size_t size) {
    struct finder f = {.wanted = path, .out = out, .size = size};
    out[0] = '\0';
    if (!document.len || document.len > INT32_MAX || !(f.parser = XML_ParserCreate(NULL))) {
        return false;
    }
    XML_SetUserData(f.parser, &f);
    XML_SetElementHandler(f.parser, element_start, element_end);
    XML_SetCharacterDataHandler(f.parser, element_text);
    XML_SetStartDoctypeDeclHandler(f.parser, doctype_start);
    (void)XML_Parse(f.parser, (const char *)document.ptr, (int)document.len, 1);
    XML_ParserFree(f.parser);
    out[f.used] = '\0';
    return f.found;
}

static int append_text(crt_buf *out, const char *text) {
    return crt_buf_append(out, text, strlen(text));
}

int crt_s3_xml_complete_begin(crt_buf *out) {
    return append_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n");
}

static int append_escaped(crt_buf *out, crt_bytes text) {
    int status = 0;
    for (size_t i = 0; i < text.len && !status; i++) {
        switch (text.ptr[i]) {
        case '"':
            break;
        case '&':
            status = append_text(out, "&amp;");
            break;
        case '<':
            status = append_text(out, "&lt;");
            break;
        case '>':
            status = append_text(out, "&gt;");
            break;
        default:
            status = crt_buf_append(out, text.ptr + i, 1);
        }
    }
    return status;
}

int crt_s3_xml_complete_part(crt_buf *out, uint32_t number, crt_bytes etag) {
    int status = append_text(out, "    <Part>\n        <ETag>");
    if (!status) {
        status = append_escaped(out, etag);
    }
    if (!status) {
        status = crt_buf_printf(out, "</ETag>\n         <PartNumber>%u</PartNumber>\n    </Part>\n", (unsigned)number);
    }
    return status;
}

int crt_s3_xml_complete_end(crt_buf *out) {
    return append_text(out, "</CompleteMultipartUpload>");
}
