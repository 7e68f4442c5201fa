/* Logging: format, levels, overflow, destinations that fail, changes under way, forks, exit. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crt/log.h"

/* ---- a file that is read back ---- */

typedef struct log_file {
    char path[64];
    char text[1 << 20];
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
    crt_log_close();
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
    crt_log_flush(TEST_DEADLINE_S * 1000);
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
    crt_log_flush(TEST_DEADLINE_S * 1000);
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
    crt_log_flush(TEST_DEADLINE_S * 1000);
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

/* ---- a function that is slow ---- */

enum { NOTE_MAX = 64 };

/* Functions have no argument of their own: one at a time, set up by watch(). */
static struct {
    latch go; /* how many batches may be taken */
    size_t batches;
    size_t lines;
    int last;
    bool in_order;
    char note[NOTE_MAX]; /* the record that tells what was dropped */
    crt_log_record newest;
    char newest_thread[16];
    bool flushed_inside;
} watched;

static void watch(void) {
    memset(&watched, 0, sizeof(watched));
    latch_init(&watched.go);
    watched.last = -1;
    watched.in_order = true;
}

static void watch_end(void) {
    crt_log_close();
    latch_destroy(&watched.go);
}

static void on_batch(crt_log_batch *batch) {
    crt_log_record record;
    latch_reaches(&watched.go, ++watched.batches);
    while (crt_log_next(batch, &record)) {
        int number;
        if (strstr(record.message, "dropped")) {
            snprintf(watched.note, sizeof(watched.note), "%d %s", record.level, record.message);
            continue;
        }
        number = atoi(record.message);
        watched.in_order = watched.in_order && number > watched.last && record.len == strlen(record.message);
        watched.last = number;
        watched.lines++;
        watched.newest = record;
        snprintf(watched.newest_thread, sizeof(watched.newest_thread), "%s", record.thread);
    }
    watched.flushed_inside = crt_log_flush(TEST_DEADLINE_S * 1000); /* returns, for it would wait for itself */
}

static void log_one(void *arg) {
    CRT_LOG(CRT_LOG_ERROR, CRT_LS_DNS, "%d", *(int *)arg);
}

static void a_slow_function_loses_records_instead_of_time(void **state) {
    crt_loop_group *group = group_new(1);
    size_t before = crt_log_dropped(), lost;
    char expected[NOTE_MAX];
    int i;
    watch();
    crt_log_to(CRT_LOG_DEBUG, on_batch);
    assert_true(crt_log_goes_to(on_batch));
    for (i = 0; crt_log_dropped() == before; i++) {
        CRT_LOG(CRT_LOG_DEBUG, CRT_LS_IO, "%d %0200d", i, 0);
    }
    lost = crt_log_dropped() - before;
    latch_add(&watched.go, 1000);
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    assert_int_equal(watched.lines, (size_t)i - lost);
    assert_true(watched.in_order);
    assert_false(watched.flushed_inside);
    snprintf(expected, sizeof(expected), "%d %zu messages dropped", CRT_LOG_WARN, lost);
    assert_string_equal(watched.note, expected);
    assert_true(watched.batches < watched.lines / 10);
    watched.note[0] = '\0';
    on_loop(crt_loop_group_at(group, 0), log_one, &i);
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    assert_int_equal(watched.last, i);
    assert_int_equal(watched.newest.level, CRT_LOG_ERROR);
    assert_int_equal(watched.newest.subject, CRT_LS_DNS);
    assert_true(llabs(watched.newest.time_ns / 1000000000 - (long long)time(NULL)) < 3600);
    assert_string_equal(watched.newest_thread, "AwsEventLoop1");
    assert_string_equal(watched.note, ""); /* told once */
    watch_end();
    group_end(group);
}

static void a_function_that_does_not_return_is_given_up_after_a_while(void **state) {
    log_file *f = log_file_new();
    watch();
    crt_log_to(CRT_LOG_DEBUG, on_batch);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "0");
    assert_false(crt_log_flush(1));
    assert_int_equal(crt_log_open(CRT_LOG_INFO, f->path), 0); /* waits for a second, no longer */
    assert_false(crt_log_goes_to(on_batch));
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "to the file");
    latch_add(&watched.go, 1);
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    log_file_read(f);
    assert_non_null(strstr(f->text, "- to the file\n"));
    assert_null(strstr(f->text, "- 0\n"));
    log_file_free(f);
    watch_end();
}

/* ---- files that cannot be written ---- */

static void a_full_disk_costs_records_and_tells_when_there_is_room(void **state) {
    log_file *f = log_file_new();
    size_t before = crt_log_dropped();
    assert_int_equal(crt_log_open(CRT_LOG_INFO, "/dev/full"), 0);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "one");
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "two");
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    assert_int_equal(crt_log_dropped() - before, 2);
    assert_int_equal(crt_log_open(CRT_LOG_ERROR, f->path), 0);
    CRT_LOG(CRT_LOG_ERROR, CRT_LS_COMMON, "three");
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    log_file_read(f);
    assert_non_null(strstr(f->text, "- three\n[WARN] ["));
    assert_non_null(strstr(f->text, "[aws-c-common] - 2 messages dropped\n"));
    log_file_free(f);
}

/* The writing end of a pipe that takes no more, as stderr. */
static void a_pipe_that_nobody_reads_does_not_hold_up_the_program(void **state) {
    char junk[4096] = {0};
    int fds[2], saved = dup(STDERR_FILENO);
    size_t before = crt_log_dropped();
    assert_int_equal(pipe(fds), 0);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    while (write(fds[1], junk, sizeof(junk)) > 0) {
    }
    dup2(fds[1], STDERR_FILENO);
    assert_int_equal(crt_log_open(CRT_LOG_INFO, "stderr"), 0);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "lost");
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    crt_log_close();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(crt_log_dropped() - before, 1);
}

/* The limit of the file's size ends the second line in its middle. */
static void a_line_after_a_torn_one_begins_anew(void **state) {
    log_file *f = log_file_new();
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit tight = unlimited;
    char *torn, *whole;
    struct stat info;
    tight.rlim_cur = 200;
    assert_int_equal(crt_log_open(CRT_LOG_INFO, f->path), 0);
    setrlimit(RLIMIT_FSIZE, &tight);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "%0100d", 1);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "%0100d", 2);
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    assert_int_equal(stat(f->path, &info), 0);
    setrlimit(RLIMIT_FSIZE, &unlimited);
    CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "whole");
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    assert_int_equal(info.st_size, 200);
    log_file_read(f);
    torn = strchr(f->text, '\n') + 1;
    whole = strchr(torn, '\n') + 1;
    assert_int_equal(whole - f->text, 201);
    assert_int_equal(strncmp(whole, "[INFO] [", 8), 0);
    assert_non_null(strstr(whole, "- whole\n"));
    assert_non_null(strstr(whole, " messages dropped\n"));
    log_file_free(f);
}

/* ---- changes under way ---- */

enum { PRODUCERS = 4, LINES_EACH = 2000 };

static void produce(void *arg) {
    int i;
    for (i = 0; i < LINES_EACH; i++) {
        CRT_LOG(CRT_LOG_INFO, CRT_LS_COMMON, "line");
    }
}

static size_t count_of(const char *text, const char *what) {
    size_t count = 0;
    for (text = strstr(text, what); text; text = strstr(text + 1, what)) {
        count++;
    }
    return count;
}

static void no_record_is_lost_or_torn_while_destinations_change(void **state) {
    static log_file files[2];
    uv_thread_t threads[PRODUCERS];
    size_t before = crt_log_dropped(), lines;
    int i;
    files[0] = *log_file_new();
    files[1] = *log_file_new();
    assert_int_equal(crt_log_open(CRT_LOG_INFO, files[0].path), 0);
    for (i = 0; i < PRODUCERS; i++) {
        uv_thread_create(&threads[i], produce, NULL);
    }
    for (i = 0; i < 50; i++) {
        assert_int_equal(crt_log_open(CRT_LOG_INFO, files[i % 2].path), 0);
    }
    for (i = 0; i < PRODUCERS; i++) {
        uv_thread_join(&threads[i]);
    }
    assert_true(crt_log_flush(TEST_DEADLINE_S * 1000));
    log_file_read(&files[0]);
    log_file_read(&files[1]);
    lines = count_of(files[0].text, "[aws-c-common] - line\n") + count_of(files[1].text, "[aws-c-common] - line\n");
    assert_int_equal(lines, PRODUCERS * LINES_EACH - (crt_log_dropped() - before));
    log_file_free(&files[0]);
    log_file_free(&files[1]);
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
        crt_log_flush(TEST_DEADLINE_S * 1000);
        _exit(0);
    }
    wait_for(child);
    crt_log_flush(TEST_DEADLINE_S * 1000);
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
        leak_checked(a_slow_function_loses_records_instead_of_time),
        leak_checked(a_function_that_does_not_return_is_given_up_after_a_while),
        leak_checked(a_full_disk_costs_records_and_tells_when_there_is_room),
        leak_checked(a_pipe_that_nobody_reads_does_not_hold_up_the_program),
        leak_checked(a_line_after_a_torn_one_begins_anew),
        leak_checked(no_record_is_lost_or_torn_while_destinations_change),
        leak_checked(a_child_logs_on_to_the_same_file),
        leak_checked(the_last_lines_before_exit_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
