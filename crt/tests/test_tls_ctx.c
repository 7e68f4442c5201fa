/* TLS contexts: what options are accepted and how the others are refused. */
#include "tls_support.h"

static identity ca, client_id, other_id;

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&client_id, &(identity_options){.common_name = "device", .issuer = &ca});
    identity_new(&other_id, &(identity_options){.common_name = "other", .issuer = &ca});
    return 0;
}

static int free_identities(void **state) {
    identity_free(&ca);
    identity_free(&client_id);
    identity_free(&other_id);
    return 0;
}

/* Expects a code, and that something was said about it. */
static void expect(const crt_tls_ctx_options *options, int code) {
    crt_fault fault = {0};
    crt_tls_ctx *ctx = NULL;
    int status = crt_tls_ctx_new(options, &ctx, &fault);

    if (status != code) {
        fail_msg("%d (%s), not %d", status, fault.detail, code);
    }
    if (code) {
        assert_null(ctx);
        assert_int_equal(fault.code, code);
        assert_true(strlen(fault.detail) > 0);
    } else {
        assert_non_null(ctx);
        crt_tls_ctx_release(ctx);
    }
}

static void expect_ca(const char *pem, int code) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};
    options.ca_pem = crt_bytes_str(pem);
    expect(&options, code);
}

static void expect_identity(const char *cert, const char *key, int code) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    options.cert_pem = crt_bytes_str(cert);
    options.key_pem = crt_bytes_str(key);
    expect(&options, code);
}

static void expect_alpn(const char *alpn, int code) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    options.alpn = alpn;
    expect(&options, code);
}

static const char *joined(const char *a, const char *b) {
    static char text[3][12000];
    static int turn;
    turn = (turn + 1) % 3;
    snprintf(text[turn], sizeof(text[turn]), "%s%s", a, b);
    return text[turn];
}

static void trust_store_text(void **state) {
    expect_ca(ca.cert_pem, 0);
    expect_ca(joined(ca.cert_pem, ca.cert_pem), 0); /* duplicates */
    expect_ca(joined("My CA, valid until \xe9t\xe9:\r\n", joined(ca.cert_pem, "the end")), 0);
    expect_ca("", AWS_ERROR_INVALID_ARGUMENT);
    expect_ca("no PEM here", AWS_ERROR_INVALID_ARGUMENT);
    expect_ca("-----BEGIN CERTIFICATE-----\nMIIB", AWS_ERROR_INVALID_ARGUMENT);
    expect_ca("-----BEGIN CERTIFICATE-----\n\xff\xfe\n-----END CERTIFICATE-----\n", AWS_IO_FILE_VALIDATION_FAILURE);
    expect_ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", AWS_IO_TLS_CTX_ERROR);
    expect_ca(ca.key_pem, AWS_IO_TLS_CTX_ERROR);
}

static void trust_store_directory(void **state) {
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};
    options.ca_dir = "/nowhere/at/all";
    expect(&options, 0);
    options.ca_dir = "";
    expect(&options, AWS_IO_TLS_CTX_ERROR);
    options.verify_peer = false; /* trust settings do not matter then */
    expect(&options, 0);
}

static void client_identity_text(void **state) {
    expect_identity(client_id.cert_pem, client_id.key_pem, 0);
    expect_identity(joined(client_id.cert_pem, ca.cert_pem), client_id.key_pem, 0);
    expect_identity(client_id.cert_pem, joined("key of the device\n", client_id.key_pem), 0);
    expect_identity("", "", AWS_ERROR_INVALID_ARGUMENT);
    expect_identity("junk", client_id.key_pem, AWS_ERROR_INVALID_ARGUMENT);
    expect_identity(client_id.cert_pem, "junk", AWS_ERROR_INVALID_ARGUMENT);
    expect_identity(client_id.cert_pem, NULL, AWS_ERROR_INVALID_ARGUMENT);
    expect_identity(client_id.cert_pem, other_id.key_pem, AWS_IO_TLS_CTX_ERROR);
    expect_identity(client_id.key_pem, client_id.cert_pem, AWS_IO_TLS_CTX_ERROR);
    expect_identity(joined(client_id.cert_pem, client_id.key_pem), client_id.key_pem, AWS_IO_TLS_CTX_ERROR);
    expect_identity(client_id.cert_pem, joined(client_id.key_pem, client_id.key_pem), AWS_IO_TLS_CTX_ERROR);
}

static void private_keys_in_every_usual_form(void **state) {
    char text[4096];
    BIO *bio = BIO_new(BIO_s_mem());

    /* "EC PARAMETERS" and "EC PRIVATE KEY", as openssl ecparam -genkey writes them */
    BIO_puts(bio, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    PEM_write_bio_PrivateKey_traditional(bio, client_id.key, NULL, NULL, 0, NULL, NULL);
    to_text(bio, text, sizeof(text));
    expect_identity(client_id.cert_pem, text, 0);

    /* encrypted: refused, and never asked for a passphrase on the terminal */
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, client_id.key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
    to_text(bio, text, sizeof(text));
    expect_identity(client_id.cert_pem, text, AWS_IO_TLS_CTX_ERROR);

    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey_traditional(bio, client_id.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6,
                                         NULL, NULL);
    to_text(bio, text, sizeof(text));
    expect_identity(client_id.cert_pem, text, AWS_IO_TLS_CTX_ERROR);
}

static void alpn_names(void **state) {
    char long_name[129];

    expect_alpn(NULL, 0);
    expect_alpn("", 0);
    expect_alpn("h2;http/1.1", 0);
    expect_alpn("a;b;c;d", 0);
    expect_alpn("a;b;c;d;e", AWS_IO_TLS_CTX_ERROR);
    expect_alpn("h2;", AWS_IO_TLS_CTX_ERROR);
    expect_alpn(";h2", AWS_IO_TLS_CTX_ERROR);
    expect_alpn("a;;b", AWS_IO_TLS_CTX_ERROR);
    memset(long_name, 'x', sizeof(long_name));
    long_name[127] = '\0';
    expect_alpn(long_name, 0);
    long_name[127] = 'x';
    long_name[128] = '\0';
    expect_alpn(long_name, AWS_IO_TLS_CTX_ERROR);
}

static void versions_and_cipher_preferences(void **state) {
    static const int versions[] = {CRT_TLS_SSLV3, CRT_TLS_1_0, CRT_TLS_1_1, CRT_TLS_1_2, CRT_TLS_1_3, CRT_TLS_DEFAULT};
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    size_t i;

    for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        options.min_version = versions[i];
        expect(&options, 0);
    }
    options.min_version = 5;
    expect(&options, AWS_ERROR_INVALID_ARGUMENT);
    options.min_version = -1;
    expect(&options, AWS_ERROR_INVALID_ARGUMENT);

    options.min_version = CRT_TLS_DEFAULT;
    options.cipher_pref = CRT_TLS_CIPHERS_PQ_DEFAULT;
    expect(&options, 0);
    options.cipher_pref = CRT_TLS_CIPHERS_1_2_2025_07;
    expect(&options, 0);
    options.cipher_pref = CRT_TLS_CIPHERS_PQ_1_0_2021_05;
    expect(&options, AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED);
    options.cipher_pref = 3;
    expect(&options, AWS_IO_TLS_CIPHER_PREF_UNSUPPORTED);
    assert_true(crt_tls_cipher_pref_supported(CRT_TLS_CIPHERS_DEFAULT));
    assert_false(crt_tls_cipher_pref_supported(CRT_TLS_CIPHERS_PQ_1_0_2021_05));
}

static void the_stack_is_chosen_by_name(void **state) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    const char *set = getenv("AWS_CRT_TLS");
    char *before = set ? strdup(set) : NULL;

    unsetenv("AWS_CRT_TLS");
    assert_string_equal(crt_tls_provider_get()->name, "openssl");
    setenv("AWS_CRT_TLS", "openssl", 1);
    expect(&options, 0);
    setenv("AWS_CRT_TLS", "rot13", 1);
    assert_null(crt_tls_provider_get());
    expect(&options, AWS_ERROR_PLATFORM_NOT_SUPPORTED);
    assert_false(crt_tls_cipher_pref_supported(CRT_TLS_CIPHERS_DEFAULT));
    unsetenv("AWS_CRT_TLS");
    if (before) {
        setenv("AWS_CRT_TLS", before, 1);
        free(before);
    }
}

typedef struct creator {
    uv_thread_t thread;
    int failures;
} creator;

static void create_contexts(void *arg) {
    creator *c = arg;
    crt_tls_ctx_options options = {.min_version = CRT_TLS_DEFAULT, .verify_peer = true};
    int i;

    for (i = 0; i < 20; i++) {
        crt_tls_ctx *ctx;
        int status = crt_tls_ctx_new(&options, &ctx, NULL);
        /* A machine without CA certificates is told so; anything else is a failure. */
        c->failures += status != 0 && status != AWS_IO_TLS_ERROR_DEFAULT_TRUST_STORE_NOT_FOUND;
        crt_tls_ctx_release(ctx);
    }
    OPENSSL_thread_stop();
}

static void contexts_made_on_several_threads_share_the_system_store(void **state) {
    creator creators[4] = {0};
    size_t i;

    for (i = 0; i < 4; i++) {
        assert_int_equal(uv_thread_create(&creators[i].thread, create_contexts, &creators[i]), 0);
    }
    for (i = 0; i < 4; i++) {
        uv_thread_join(&creators[i].thread);
        assert_int_equal(creators[i].failures, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        leak_checked(trust_store_text),
        leak_checked(trust_store_directory),
        leak_checked(client_identity_text),
        leak_checked(private_keys_in_every_usual_form),
        leak_checked(alpn_names),
        leak_checked(versions_and_cipher_preferences),
        leak_checked(the_stack_is_chosen_by_name),
        leak_checked(contexts_made_on_several_threads_share_the_system_store),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
