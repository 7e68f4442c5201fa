/* Loops, tasks, timers, hooks, the end of groups, forks. */
#define _GNU_SOURCE /* thread names */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- tasks ---- */

enum { POSTERS = 4, POSTS = 5000 };

typedef struct numbered {
    crt_task task;
    struct poster *poster;
    int number;
} numbered;

typedef struct poster {
    crt_loop *loop;
    latch *done;
    int next;
    bool in_order;
    bool on_loop;
    numbered items[POSTS];
} poster;

static void check_order(crt_task *task, int status) {
    numbered *item = CRT_CONTAINER(task, numbered, task);
    poster *p = item->poster;
    p->in_order = p->in_order && item->number == p->next++ && status == 0;
    p->on_loop = p->on_loop && crt_loop_is_current(p->loop);
    if (p->next == POSTS) {
        latch_add(p->done, 1);
    }
}

static void post_all(void *arg) {
    poster *p = arg;
    int i;
    for (i = 0; i < POSTS; i++) {
        p->items[i] = (numbered){.task = {.run = check_order}, .poster = p, .number = i};
        crt_loop_post(p->loop, &p->items[i].task);
    }
}

static void tasks_of_many_threads_run_in_order_of_each(void **state) {
    crt_loop_group *group = group_new(1);
    poster *posters = calloc(POSTERS, sizeof(*posters));
    uv_thread_t threads[POSTERS];
    latch done;
    int i;
    latch_init(&done);
    for (i = 0; i < POSTERS; i++) {
        posters[i].loop = crt_loop_group_at(group, 0);
        posters[i].done = &done;
        posters[i].in_order = posters[i].on_loop = true;
        uv_thread_create(&threads[i], post_all, &posters[i]);
    }
    for (i = 0; i < POSTERS; i++) {
        uv_thread_join(&threads[i]);
    }
    latch_wait(&done, POSTERS);
    for (i = 0; i < POSTERS; i++) {
        assert_true(posters[i].in_order);
        assert_true(posters[i].on_loop);
    }
    assert_false(crt_loop_is_current(crt_loop_group_at(group, 0)));
    group_end(group);
    free(posters);
    latch_destroy(&done);
}

/* Bounces between two loops: each wake-up must arrive, or the ball stops. */
typedef struct ball {
    crt_task task;
    crt_loop *loops[2];
    int bounces;
    latch done;
} ball;

static void bounce(crt_task *task, int status) {
    ball *b = CRT_CONTAINER(task, ball, task);
    if (status || ++b->bounces == 20000) {
        latch_add(&b->done, 1);
        return;
    }
    crt_loop_post(b->loops[b->bounces % 2], task);
}

static void no_wake_up_is_lost(void **state) {
    crt_loop_group *group = group_new(2);
    ball b = {.task = {.run = bounce}, .loops = {crt_loop_group_at(group, 0), crt_loop_group_at(group, 1)}};
    latch_init(&b.done);
    crt_loop_post(b.loops[0], &b.task);
    latch_wait(&b.done, 1);
    assert_int_equal(b.bounces, 20000);
    group_end(group);
    latch_destroy(&b.done);
}

/* ---- the binding's hooks ---- */

typedef struct hooked {
    latch polls;
    latch gone;
    latch done;
    int started;
    int ending;
    int work_before_poll;  /* tasks run since the last hook */
    int most_in_one_batch;
    crt_task from_hook;
    crt_task deferred_by_hook;
    int hook_posts;
    char gone_on[16];
    crt_loop *loop;
} hooked;

static void on_started(void *user, crt_loop *loop) {
    hooked *h = user;
    __atomic_add_fetch(&h->started, 1, __ATOMIC_RELAXED);
    crt_loop_set_user(loop, h);
}

static void on_ending(void *user, crt_loop *loop) {
    hooked *h = user;
    if (crt_loop_is_current(loop) && crt_loop_user(loop) == h) {
        __atomic_add_fetch(&h->ending, 1, __ATOMIC_RELAXED);
    }
}

static void on_gone(void *user) {
    hooked *h = user;
    pthread_getname_np(pthread_self(), h->gone_on, sizeof(h->gone_on));
    latch_add(&h->gone, 1);
}

static void count_batch(void *user, crt_loop *loop) {
    hooked *h = user;
    (void)loop;
    if (h->work_before_poll > h->most_in_one_batch) {
        h->most_in_one_batch = h->work_before_poll;
    }
    h->work_before_poll = 0;
    latch_add(&h->polls, 1);
}

static crt_loop_group *hooked_group(hooked *h, void (*before_poll)(void *, crt_loop *), uint16_t threads) {
    crt_loop_group_options options = {.threads = threads, .cpu_group = -1};
    crt_loop_group *group;
    memset(h, 0, sizeof(*h));
    latch_init(&h->polls);
    latch_init(&h->gone);
    latch_init(&h->done);
    options.hooks = (crt_loop_hooks){on_started, before_poll, on_ending, on_gone, h};
    assert_int_equal(crt_loop_group_new(&options, &group), 0);
    h->loop = crt_loop_group_at(group, 0);
    return group;
}

static void hooked_destroy(hooked *h) {
    latch_destroy(&h->polls);
    latch_destroy(&h->gone);
    latch_destroy(&h->done);
}

typedef struct deferring {
    crt_task posted;
    crt_task deferred;
    hooked *h;
} deferring;

static void run_deferred(crt_task *task, int status) {
    deferring *d = CRT_CONTAINER(task, deferring, deferred);
    (void)status;
    d->h->work_before_poll++;
    latch_add(&d->h->done, 1);
}

static void run_posted(crt_task *task, int status) {
    deferring *d = CRT_CONTAINER(task, deferring, posted);
    (void)status;
    d->h->work_before_poll++;
    crt_loop_defer(d->h->loop, &d->deferred);
}

static void post_batch(void *arg) {
    deferring *d = arg;
    int i;
    for (i = 0; i < 10; i++) {
        crt_loop_post(d[i].h->loop, &d[i].posted);
    }
}

static void the_hook_runs_once_after_all_tasks_of_a_turn(void **state) {
    hooked h;
    crt_loop_group *group = hooked_group(&h, count_batch, 1);
    deferring d[10];
    int i;
    for (i = 0; i < 10; i++) {
        d[i] = (deferring){{run_posted, NULL}, {run_deferred, NULL}, &h};
    }
    on_loop(h.loop, post_batch, d); /* posted from the loop: they all run in the same turn */
    latch_wait(&h.done, 10);
    group_end(group);
    assert_int_equal(h.most_in_one_batch, 20);
    hooked_destroy(&h);
}

static void count_hook_work(crt_task *task, int status) {
    hooked *h = CRT_CONTAINER(task, hooked, from_hook);
    if (status == 0) {
        latch_add(&h->done, 1);
    }
}

static void count_hook_deferral(crt_task *task, int status) {
    hooked *h = CRT_CONTAINER(task, hooked, deferred_by_hook);
    if (status == 0) {
        latch_add(&h->done, 1);
    }
}

/* Each of the first hundred turns makes work for the next: it must not wait for an event that never comes. */
static void make_work_before_poll(void *user, crt_loop *loop) {
    hooked *h = user;
    if (h->hook_posts >= 100) {
        return;
    }
    h->hook_posts++;
    if (h->hook_posts % 2) {
        h->from_hook.run = count_hook_work;
        crt_loop_post(loop, &h->from_hook);
    } else {
        h->deferred_by_hook.run = count_hook_deferral;
        crt_loop_defer(loop, &h->deferred_by_hook);
    }
}

static void work_made_by_the_hook_is_not_slept_over(void **state) {
    hooked h;
    crt_loop_group *group = hooked_group(&h, make_work_before_poll, 1);
    latch_wait(&h.done, 100);
    group_end(group);
    hooked_destroy(&h);
}

static void hooks_frame_the_life_of_a_group(void **state) {
    hooked h;
    crt_loop_group *group = hooked_group(&h, NULL, 1);
    crt_loop_group_acquire(group);
    crt_loop_group_release(group);
    assert_int_equal(latch_count(&h.gone), 0);
    crt_loop_group_release(group);
    latch_wait(&h.gone, 1);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    assert_int_equal(h.started, 1);
    assert_int_equal(h.ending, 1);
    assert_string_equal(h.gone_on, "EvntLoopCleanup");
    hooked_destroy(&h);
}

/* ---- timers ---- */

enum { TIMERS = 200 };

typedef struct alarm_clock {
    crt_timer timer;
    struct timer_test *test;
    int rank;
} alarm_clock;

typedef struct timer_test {
    crt_loop *loop;
    alarm_clock alarms[TIMERS];
    int fired;
    int last_rank;
    bool in_order;
    bool early;
    latch done;
} timer_test;

static void on_alarm(crt_timer *timer) {
    alarm_clock *a = CRT_CONTAINER(timer, alarm_clock, timer);
    timer_test *t = a->test;
    t->in_order = t->in_order && a->rank >= t->last_rank;
    t->early = t->early || crt_loop_now_ms(t->loop) < timer->due_ms;
    t->last_rank = a->rank;
    t->fired++;
    latch_add(&t->done, 1);
}

static void start_alarms(void *arg) {
    timer_test *t = arg;
    int i;
    for (i = 0; i < TIMERS; i++) {
        alarm_clock *a = &t->alarms[i];
        a->test = t;
        a->rank = (i * 37) % 40;
        crt_timer_init(&a->timer, t->loop, on_alarm);
        crt_timer_start(&a->timer, 1000000);
        crt_timer_start(&a->timer, (uint64_t)a->rank); /* re-armed to an earlier time */
    }
    for (i = 0; i < TIMERS; i += 4) {
        crt_timer_stop(&t->alarms[i].timer);
        crt_timer_stop(&t->alarms[i].timer);
    }
}

static void timers_fire_in_order_of_time(void **state) {
    crt_loop_group *group = group_new(1);
    timer_test *t = calloc(1, sizeof(*t));
    t->loop = crt_loop_group_at(group, 0);
    t->in_order = true;
    latch_init(&t->done);
    on_loop(t->loop, start_alarms, t);
    latch_wait(&t->done, TIMERS - TIMERS / 4);
    group_end(group);
    assert_int_equal(t->fired, TIMERS - TIMERS / 4);
    assert_true(t->in_order);
    assert_false(t->early);
    latch_destroy(&t->done);
    free(t);
}

typedef struct restless {
    crt_timer timer;
    crt_task task;
    int fires;
    latch task_ran;
} restless;

static void fire_again(crt_timer *timer) {
    restless *r = CRT_CONTAINER(timer, restless, timer);
    r->fires++;
    crt_timer_start(timer, 0);
}

static void start_restless(void *arg) {
    restless *r = arg;
    crt_timer_start(&r->timer, 0);
}

static void on_task_beside(crt_task *task, int status) {
    (void)status;
    latch_add(&CRT_CONTAINER(task, restless, task)->task_ran, 1);
}

static void a_timer_that_starts_itself_anew_leaves_room_for_others(void **state) {
    crt_loop_group *group = group_new(1);
    crt_loop *loop = crt_loop_group_at(group, 0);
    restless r = {.task = {.run = on_task_beside}};
    latch_init(&r.task_ran);
    crt_timer_init(&r.timer, loop, fire_again);
    on_loop(loop, start_restless, &r);
    crt_loop_post(loop, &r.task);
    latch_wait(&r.task_ran, 1);
    group_end(group); /* drops the timer */
    assert_true(r.fires > 0);
    assert_int_equal(r.timer.heap_index, 0);
    latch_destroy(&r.task_ran);
}

/* ---- the end ---- */

typedef struct last_words {
    crt_task first;
    crt_task second;
    crt_loop *loop;
    bool held;
    int second_status;
    latch hold;
    latch ran;
} last_words;

static void on_second(crt_task *task, int status) {
    last_words *w = CRT_CONTAINER(task, last_words, second);
    w->second_status = status;
    latch_add(&w->ran, 1);
}

static void on_first(crt_task *task, int status) {
    last_words *w = CRT_CONTAINER(task, last_words, first);
    (void)status;
    if (!w->held) {
        w->held = true;
        latch_reaches(&w->hold, 1); /* until the group is released */
        crt_loop_post(w->loop, &w->first);
        return;
    }
    crt_loop_post(w->loop, &w->second);
}

static void tasks_behind_the_end_run_as_cancelled(void **state) {
    crt_loop_group *group = group_new(1);
    last_words w = {.first = {.run = on_first}, .second = {.run = on_second}, .loop = crt_loop_group_at(group, 0)};
    latch_init(&w.hold);
    latch_init(&w.ran);
    crt_loop_post(w.loop, &w.first);
    crt_loop_group_release(group);
    latch_add(&w.hold, 1);
    latch_wait(&w.ran, 1);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    assert_int_equal(w.second_status, AWS_IO_EVENT_LOOP_SHUTDOWN);
    latch_destroy(&w.hold);
    latch_destroy(&w.ran);
}

typedef struct own_end {
    crt_task task;
    crt_loop_group *group;
} own_end;

static void release_group(crt_task *task, int status) {
    (void)status;
    crt_loop_group_release(CRT_CONTAINER(task, own_end, task)->group);
}

static void a_loop_may_drop_its_own_group(void **state) {
    size_t i;
    for (i = 0; i < 3; i++) {
        hooked h;
        crt_loop_group *group = hooked_group(&h, NULL, 3);
        own_end end = {.task = {.run = release_group}, .group = group};
        crt_loop_post(crt_loop_group_at(group, i), &end.task);
        latch_wait(&h.gone, 1);
        assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
        hooked_destroy(&h);
    }
}

static void groups_come_and_go(void **state) {
    int i;
    for (i = 0; i < 100; i++) {
        crt_loop_group_release(group_new((uint16_t)(1 + i % 3)));
    }
    assert_true(crt_threads_join(-1));
    assert_true(crt_threads_join(0));
}

static void joining_gives_up_in_time(void **state) {
    crt_loop_group *group = group_new(1);
    last_words w = {.first = {.run = on_first}, .second = {.run = on_second}, .loop = crt_loop_group_at(group, 0)};
    latch_init(&w.hold);
    latch_init(&w.ran);
    crt_loop_post(w.loop, &w.first);
    crt_loop_group_release(group);
    assert_false(crt_threads_join(1)); /* on_first still holds its thread */
    latch_add(&w.hold, 1);
    assert_true(crt_threads_join(TEST_DEADLINE_S * 1000));
    latch_destroy(&w.hold);
    latch_destroy(&w.ran);
}

/* ---- groups ---- */

static void a_group_has_the_loops_asked_for(void **state) {
    crt_loop_group *group = group_new(3);
    crt_loop *picked;
    size_t i;
    assert_int_equal(crt_loop_group_size(group), 3);
    assert_null(crt_loop_group_at(group, 3));
    crt_loop_load(crt_loop_group_at(group, 0), 5);
    crt_loop_load(crt_loop_group_at(group, 1), 5);
    for (i = 0; i < 200; i++) { /* the idle third comes up sooner or later */
        picked = crt_loop_group_pick(group);
        assert_non_null(picked);
        if (picked == crt_loop_group_at(group, 2)) {
            break;
        }
    }
    assert_true(i < 200);
    group_end(group);
    group = group_new(0);
    assert_true(crt_loop_group_size(group) >= 1);
    group_end(group);
}

static void a_group_stays_on_its_numa_node(void **state) {
    crt_loop_group_options options = {.threads = 5, .cpu_group = 0};
    crt_loop_group *group = NULL;
    assert_int_equal(crt_loop_group_new(&options, &group), 0);
    assert_true(crt_loop_group_size(group) >= 1 && crt_loop_group_size(group) <= 5);
    group_end(group);
    options.cpu_group = 4711;
    assert_int_equal(crt_loop_group_new(&options, &group), AWS_ERROR_INVALID_ARGUMENT);
    assert_null(group);
}

static void loop_name(void *arg) {
    pthread_getname_np(pthread_self(), arg, 16);
}

static void threads_are_named_after_their_place(void **state) {
    crt_loop_group *group = group_new(2);
    char name[16];
    on_loop(crt_loop_group_at(group, 1), loop_name, name);
    assert_string_equal(name, "AwsEventLoop2");
    group_end(group);
}

/* ---- forks ---- */

#if !defined(__SANITIZE_THREAD__) /* it cannot follow threads that a forked child starts */
static void nothing(void *arg) {
    *(int *)arg = 1;
}

/* In the child: 0 when all is well. cmocka's assertions must not be used there. */
static int child_works(crt_loop_group *of_parent, uint32_t generation) {
    crt_loop_group_options options = {.threads = 2, .cpu_group = -1};
    crt_loop_group *group;
    loop_call call = {.task = {.run = loop_call_run}, .fn = nothing};
    int ran = 0;
    if (crt_fork_generation() != generation + 1) {
        return 1;
    }
    crt_loop_group_release(of_parent);
    if (!crt_threads_join(0)) {
        return 2;
    }
    if (crt_loop_group_new(&options, &group) != 0) {
        return 3;
    }
    call.arg = &ran;
    latch_init(&call.done);
    crt_loop_post(crt_loop_group_at(group, 1), &call.task);
    if (!latch_reaches(&call.done, 1) || !ran) {
        return 4;
    }
    crt_loop_group_release(group);
    return crt_threads_join(TEST_DEADLINE_S * 1000) ? 0 : 5;
}

static void a_forked_child_starts_afresh(void **state) {
    crt_loop_group *group = group_new(2);
    uint32_t generation = crt_fork_generation();
    int status = -1, ran = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(child_works(group, generation));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(crt_fork_generation(), generation);
    on_loop(crt_loop_group_at(group, 0), nothing, &ran); /* the parent never noticed */
    assert_int_equal(ran, 1);
    group_end(group);
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(tasks_of_many_threads_run_in_order_of_each),
        leak_checked(no_wake_up_is_lost),
        leak_checked(the_hook_runs_once_after_all_tasks_of_a_turn),
        leak_checked(work_made_by_the_hook_is_not_slept_over),
        leak_checked(hooks_frame_the_life_of_a_group),
        leak_checked(timers_fire_in_order_of_time),
        leak_checked(a_timer_that_starts_itself_anew_leaves_room_for_others),
        leak_checked(tasks_behind_the_end_run_as_cancelled),
        leak_checked(a_loop_may_drop_its_own_group),
        leak_checked(groups_come_and_go),
        leak_checked(joining_gives_up_in_time),
        leak_checked(a_group_has_the_loops_asked_for),
        leak_checked(a_group_stays_on_its_numa_node),
        leak_checked(threads_are_named_after_their_place),
#if !defined(__SANITIZE_THREAD__)
        leak_checked(a_forked_child_starts_afresh),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
