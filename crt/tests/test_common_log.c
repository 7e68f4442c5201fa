/* Logging: format, levels, overflow, forks, exit. */
#include "support.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crt/log.h"

/* ---- a file that is read back ---- */

typedef struct log_file {
    char path[64];
    char text[1 << 18];
} log_file;

static log_file *log_file_new(void) {
    static log_file file;
    log_file *f = &file;
    int fd;
    strcpy(f->path, "/tmp/crt-log-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0);
    close(fd);
    return f;
}

static void log_file_read(log_file *f) {
    FILE *file = fopen(f->path, "r");
    size_t n;
    assert_non_null(file);
    n = fread(f->text, 1, sizeof(f->text) - 1, file);
    f->text[n] = '\0';
    fclose(file);
}

static void log_file_free(log_file *f) {
    crt_log_to(0, NULL, NULL);
    unlink(f->path);
}

/* `pattern`: 9 stands for a digit, x for a hexadecimal one, anything else for itself. */
static bool matches(const char *text, const char *pattern) {
    for (; *pattern; text++, pattern++) {
        bool digit = *text >= '0' && *text <= '9';
        bool hex = digit || (*text >= 'a' && *text <= 'f');
        if (*pattern == '9' ? !digit : *pattern == 'x' ? !hex : *text != *pattern) {
            return false;
        }
    }
    return *text == '\0';
}

static void a_line_names_level_time_thread_and_subject(void **state) {
    log_file *f = log_file_new();
    assert_int_equal(crt_log_open(CRT_LOG_DEBUG, f->path), 0);
    CRT_LOG(CRT_LOG_WARN, CRT_LS_SOCKET, "lost %d of %s", 3, "many");
    crt_log_flush();
    log_file_read(f);
    assert_true(matches(f->text, "[WARN] [9999-99-99T99:99:99Z] [xxxxxxxxxxxxxxxx] [socket] - lost 3 of many\n"));
    log_file_free(f);
}

static int evaluated(int *count) {
    return ++*count;
}

static void only_lines_of_the_level_are_written(void **state) {
    log_file *f = log_file_new();
    int count = 0;
    assert_int_equal(crt_log_open(CRT_LOG_ERROR, f->path), 0);
    CRT_LOG(CRT_LOG_WARN, CRT_LS_COMMON, "%d", evaluated(&count));
    crt_log_write(CRT_LOG_INFO, CRT_LS_COMMON, "not me either");
    crt_log_set_level(CRT_LOG_TRACE);
    assert_int_equal(crt_log_level_now(), CRT_LOG_TRACE);
    CRT_LOG(CRT_LOG_TRACE, CRT_LS_COMMON, "but me");
    crt_log_flush();
    log_file_read(f);
    assert_int_equal(count, 0);
    assert_null(strstr(f->text, "not me"));
    assert_non_null(strstr(f->text, "[TRACE]"));
    assert_non_null(strstr(f->text, "but me\n"));
    log_file_free(f);
    assert_int_equal(crt_log_level_now(), CRT_LOG_NONE);
    crt_log_set_level(CRT_LOG_TRACE); /* without a destination there is nothing to log to */
    assert_int_equal(crt_log_level_now(), CRT_LOG_NONE);
}

static void messages_longer_than_any_buffer_arrive_whole(void **state) {
    log_file *f = log_file_new();
    size_t len = 50000;
    char *message = malloc(len + 1);
    memset(message, 'm', len);
    message[len] = '\0';
    assert_int_equal(crt_log_open(CRT_LOG_INFO, f->path), 0);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "%s", "before");
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "%s", message);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "%s", "after");
    crt_log_flush();
    log_file_read(f);
    assert_non_null(strstr(f->text, message));
    assert_non_null(strstr(f->text, "- after\n"));
    log_file_free(f);
    free(message);
}

static void impossible_destinations_are_refused(void **state) {
    assert_int_equal(crt_log_open(CRT_LOG_INFO, "/nowhere/to/log"), AWS_ERROR_FILE_INVALID_PATH);
    assert_int_equal(crt_log_open(CRT_LOG_INFO, ""), AWS_ERROR_FILE_INVALID_PATH);
    assert_int_equal(crt_log_open(CRT_LOG_INFO, NULL), AWS_ERROR_FILE_INVALID_PATH);
}

static void subjects_have_names(void **state) {
    assert_string_equal(crt_log_subject_name(CRT_LS_COMMON), "aws-c-common");
    assert_string_equal(crt_log_subject_name(0x802), "http-encoder");
    assert_string_equal(crt_log_subject_name(15367), "AwsChunkedDecoder");
    assert_string_equal(crt_log_subject_name(19999), "Unknown");
    assert_string_equal(crt_log_subject_name(-1), "Unknown");
}

/* ---- a sink that is slow ---- */

typedef struct slow_sink {
    latch go;
    size_t lines;
    int last;
    bool in_order;
    char thread[16];
    int level;
    int subject;
} slow_sink;

static void on_line(void *user, int level, int subject, const char *thread, const char *message) {
    slow_sink *s = user;
    int number = atoi(message);
    latch_reaches(&s->go, 1);
    s->in_order = s->in_order && number > s->last;
    s->last = number;
    s->level = level;
    s->subject = subject;
    snprintf(s->thread, sizeof(s->thread), "%s", thread);
    s->lines++;
    crt_log_flush(); /* from here there is nothing to wait for */
}

static void log_one(void *arg) {
    CRT_LOG(CRT_LOG_ERROR, CRT_LS_DNS, "%d", *(int *)arg);
}

static void a_slow_sink_loses_lines_instead_of_time(void **state) {
    slow_sink s = {.last = -1, .in_order = true};
    crt_loop_group *group = group_new(1);
    size_t before = crt_log_dropped(), lost;
    int i;
    latch_init(&s.go);
    crt_log_to(CRT_LOG_DEBUG, on_line, &s);
    for (i = 0; crt_log_dropped() == before; i++) {
        CRT_LOG(CRT_LOG_DEBUG, CRT_LS_IO, "%d %0200d", i, 0);
    }
    lost = crt_log_dropped() - before;
    latch_add(&s.go, 1);
    crt_log_flush();
    assert_int_equal(s.lines, (size_t)i - lost);
    assert_true(s.in_order);
    on_loop(crt_loop_group_at(group, 0), log_one, &i);
    crt_log_flush();
    assert_int_equal(s.last, i);
    assert_int_equal(s.level, CRT_LOG_ERROR);
    assert_int_equal(s.subject, CRT_LS_DNS);
    assert_string_equal(s.thread, "AwsEventLoop1");
    crt_log_to(0, NULL, NULL);
    group_end(group);
    latch_destroy(&s.go);
}

/* ---- forks and exit ---- */

static void wait_for(pid_t child) {
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_logs_on_to_the_same_file(void **state) {
    log_file *f = log_file_new();
    pid_t child;
    assert_int_equal(crt_log_open(CRT_LOG_INFO, f->path), 0);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "parent");
    child = fork();
    if (child == 0) {
        CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "child");
        crt_log_flush();
        _exit(0);
    }
    wait_for(child);
    crt_log_flush();
    log_file_read(f);
    assert_non_null(strstr(f->text, "- child\n"));
    assert_non_null(strstr(f->text, "- parent\n"));
    assert_ptr_equal(strstr(strstr(f->text, "- parent\n") + 1, "- parent\n"), NULL);
    log_file_free(f);
}

static void the_last_lines_before_exit_are_written(void **state) {
    log_file *f = log_file_new();
    pid_t child = fork();
    int i;
    if (child == 0) {
        crt_log_open(CRT_LOG_INFO, f->path);
        for (i = 0; i < 1000; i++) {
            CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "line %d", i);
        }
        exit(0);
    }
    wait_for(child);
    log_file_read(f);
    assert_non_null(strstr(f->text, "- line 999\n"));
    log_file_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(a_line_names_level_time_thread_and_subject),
        leak_checked(only_lines_of_the_level_are_written),
        leak_checked(messages_longer_than_any_buffer_arrive_whole),
        leak_checked(impossible_destinations_are_refused),
        leak_checked(subjects_have_names),
        leak_checked(a_slow_sink_loses_lines_instead_of_time),
        leak_checked(a_child_logs_on_to_the_same_file),
        leak_checked(the_last_lines_before_exit_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
