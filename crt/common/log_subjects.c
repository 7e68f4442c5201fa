/* Names of the log subjects. */
#include "crt/log.h"

typedef struct subject {
    int id;
    const char *name;
} subject;

#define CRT_LOG_SUBJECT(id, enumerator, name) {id, name},
static const subject subjects[] = {
#include "crt/log_subjects.def"
};
#undef CRT_LOG_SUBJECT

const char *crt_log_subject_name(int id) {
    size_t low = 0, high = sizeof(subjects) / sizeof(subjects[0]);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (subjects[middle].id == id) {
            return subjects[middle].name;
        }
        if (subjects[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return "Unknown";
}
