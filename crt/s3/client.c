#include <stdlib.h>

#include "engine.h"

#include "crt/log.h"

void crt_s3_register_errors(void) {
#define CRT_ERROR(code, name, message) {code, #name, message},
    static const crt_error_info table[] = {
#include "crt/errors_s3.def"
    };
#undef CRT_ERROR
    crt_error_register(table, sizeof table / sizeof *table);
}

static bool env_is_set(const char *name) {
    const char *value = getenv(name);
    return value && *value;
}

/* Leaves *limit alone when the variable is not set; 0 in it stands for "not given". */
static int limit_from_env(const char *name, uint64_t unit, uint64_t *limit, crt_fault *fault) {
    const char *value = getenv(name);
    uint64_t n = 0;
    if (*limit || !value || !*value) {
        return 0;
    }
    if (!crt_s3_parse_u64(crt_bytes_str(value), &n)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "%s=%s is not a number", name, value);
    }
    if (n > UINT64_MAX / unit) {
        return crt_fail(fault, AWS_ERROR_OVERFLOW_DETECTED, "%s=%s does not fit 64 bits", name, value);
    }
    *limit = n * unit;
    return 0;
}

static int resolve_memory_limit(crt_s3_client *client, const crt_s3_client_options *options, crt_fault *fault) {
    uint64_t limit = options->memory_limit;
    int status = limit_from_env("AWS_CRT_S3_MEMORY_LIMIT_IN_MB", CRT_S3_MIB, &limit, fault);
    if (!status) {
        status = limit_from_env("AWS_CRT_S3_MEMORY_LIMIT_IN_GIB", CRT_S3_GIB, &limit, fault);
    }
    if (status) {
        return status;
    }
    if (!limit) {
        limit = crt_s3_plan_memory_limit(options->throughput_gbps);
    }
    if (limit < CRT_S3_MEMORY_MIN) {
        return crt_fail(fault, AWS_ERROR_S3_INVALID_MEMORY_LIMIT_CONFIG,
                        "the memory limit is %llu bytes; at least 256 MiB are needed", (unsigned long long)limit);
    }
    if (client->part_size > limit / 2) {
        return crt_fail(fault, AWS_ERROR_S3_PART_SIZE_EXCEEDS_MEMORY_LIMIT,
                        "part_size %llu is more than half of the memory limit %llu",
                        (unsigned long long)client->part_size, (unsigned long long)limit);
    }
    client->memory_limit = limit;
    return 0;
}

static int resolve_numbers(crt_s3_client *client, const crt_s3_client_options *options, crt_fault *fault) {
    if (!(options->throughput_gbps >= 0)) {
        return crt_fail(fault, AWS_ERROR_INVALID_ARGUMENT, "throughput_target_gbps is negative");
    }
    if (options->retry.mode == CRT_S3_RETRY_ADAPTIVE) {
        return crt_fail(fault, AWS_ERROR_UNIMPLEMENTED, "retry mode ADAPTIVE is not supported; use STANDARD");
    }
    int status = crt_s3_retry_policy_init(&client->retry, &options->retry, fault);
    if (status) {
        return status;
    }
    uint64_t ideal = crt_s3_plan_connections(options->throughput_gbps > 0 ? options->throughput_gbps : 10.0);
    client->ideal_connections = ideal > 10 ? ideal : 10;
    client->max_connections = client->ideal_connections;
    if (options->max_connections && options->max_connections < client->max_connections) {
        client->max_connections = options->max_connections;
    }
    client->dynamic_parts = !options->part_size;
    client->part_size = options->part_size ? options->part_size : CRT_S3_PART_DEFAULT;
    client->multipart_threshold = options->multipart_threshold;
    uint64_t timeout = options->connect_timeout_ms ? options->connect_timeout_ms : 3000;
    client->connect_timeout_ms = timeout < UINT32_MAX ? (uint32_t)timeout : UINT32_MAX;
    client->sequential = env_is_set("AWS_CRT_S3_FORCE_SEQUENTIAL_REQUESTS") || env_is_set("AWS_CRT_S3_ORDERED_DELIVERY");
    return resolve_memory_limit(client, options, fault);
}

static int copy_tls(crt_s3_client *client, const crt_tls_options *tls) {
    if (!tls) {
        return 0;
    }
    client->use_tls = true;
    client->tls = *tls;
    client->tls.ctx = crt_tls_ctx_acquire(tls->ctx);
    client->tls.server_name = crt_strdup(tls->server_name);
    client->tls.alpn = crt_strdup(tls->alpn);
    bool copied = (!tls->server_name || client->tls.server_name) && (!tls->alpn || client->tls.alpn);
    return copied ? 0 : AWS_ERROR_OOM;
}

static void client_free(crt_s3_client *client) {
    if (client->use_tls) {
        crt_tls_ctx_release(client->tls.ctx);
        crt_free((void *)client->tls.server_name);
        crt_free((void *)client->tls.alpn);
    }
    if (client->resolver) {
        crt_resolver_release(client->resolver);
    }
    if (client->writers) {
        crt_loop_group_release(client->writers);
    }
    if (client->loops) {
        crt_loop_group_release(client->loops);
    }
    pthread_mutex_destroy(&client->lock);
    crt_free(client);
}

int crt_s3_client_new(const crt_s3_client_options *options, crt_s3_client **out, crt_fault *fault) {
    size_t shards = crt_loop_group_size(options->loops);
    crt_s3_client *client = crt_calloc(1, sizeof *client + shards * sizeof *client->shards);
    if (!client) {
        return crt_fail(fault, AWS_ERROR_OOM, "no memory for an S3 client");
    }
    pthread_mutex_init(&client->lock, NULL);
    int status = resolve_numbers(client, options, fault);
    if (status) {
        goto failed;
    }
    status = copy_tls(client, options->tls);
    if (status) {
        crt_fail(fault, status, "no memory for TLS options");
        goto failed;
    }
    client->loops = crt_loop_group_acquire(options->loops);
    client->resolver = crt_resolver_acquire(options->resolver);
    client->on_shutdown = options->on_shutdown;
    client->user = options->user;
    crt_ref_init(&client->users);
    client->alive.n = shards;
    client->shard_count = shards;
    for (size_t i = 0; i < shards; i++) {
        crt_s3_shard_init(&client->shards[i], client, crt_loop_group_at(client->loops, i), i);
    }
    *out = client;
    return 0;

failed:
    client_free(client);
    return status;
}

void crt_s3_client_release(crt_s3_client *client) {
    if (!client || !crt_ref_dec(&client->users)) {
        return;
    }
    for (size_t i = 0; i < client->shard_count; i++) {
        crt_loop_post(client->shards[i].loop, &client->shards[i].close_task);
    }
}

static void client_gone(crt_task *task, int status) {
    crt_s3_client *client = CRT_CONTAINER(task, crt_s3_client, gone_task);
    void (*on_shutdown)(void *, crt_loop *) = client->on_shutdown;
    void *user = client->user;
    crt_loop *loop = client->shards[0].loop;
    if (on_shutdown) {
        on_shutdown(user, loop);
    }
    client_free(client);
}

void crt_s3_client_alive_release(crt_s3_client *client) {
    if (crt_ref_dec(&client->alive)) {
        client->gone_task.run = client_gone;
        crt_loop_post(client->shards[0].loop, &client->gone_task);
    }
}
