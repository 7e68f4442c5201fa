/* Handshakes with keys of a PKCS#11 module (pkcs11_module.c): what is signed, and what a refusal leads to. */
#include "tls_support.h"

#include "crt/pkcs11.h"

static identity ca, site, ec, rsa;
static char key_path[] = "/tmp/crt-test-key-XXXXXX";
static char story[256];

/* The same certificate for an RSA key. */
static void make_rsa(identity *id) {
    BIO *text = BIO_new(BIO_s_mem());

    EVP_PKEY_free(id->key);
    id->key = EVP_RSA_gen(2048);
    X509_set_pubkey(id->certificate, id->key);
    assert_true(X509_sign(id->certificate, ca.key, EVP_sha256()) > 0);
    PEM_write_bio_X509(text, id->certificate);
    to_text(text, id->cert_pem, sizeof(id->cert_pem));
    text = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(text, id->key, NULL, NULL, 0, NULL, NULL);
    to_text(text, id->key_pem, sizeof(id->key_pem));
}

static int make_identities(void **state) {
    identity_new(&ca, &(identity_options){.common_name = "Test CA", .ca = true});
    identity_new(&site, &(identity_options){.common_name = "site", .issuer = &ca, .names = "DNS:site.example"});
    identity_new(&ec, &(identity_options){.common_name = "ec device", .issuer = &ca});
    identity_new(&rsa, &(identity_options){.common_name = "rsa device", .issuer = &ca});
    make_rsa(&rsa);
    close(mkstemp(key_path));
    return 0;
}

static int free_identities(void **state) {
    unlink(key_path);
    identity_free(&ca);
    identity_free(&site);
    identity_free(&ec);
    identity_free(&rsa);
    return 0;
}

/* The module's key from now on. */
static void put_on_token(const identity *id) {
    FILE *file = fopen(key_path, "w");

    assert_non_null(file);
    fputs(id->key_pem, file);
    fclose(file);
    setenv("PKCS11_KEY", key_path, 1);
    setenv("PKCS11_KEY_TYPE", id == &rsa ? "0" : "3", 1);
}

static int forget_environment(void **state) {
    unsetenv("PKCS11_KEY");
    unsetenv("PKCS11_KEY_TYPE");
    unsetenv("PKCS11_SIGN");
    unsetenv("PKCS11_BYTES");
    unsetenv("PKCS11_VERSION");
    return leak_check_end(state);
}

static crt_pkcs11_lib *load(void) {
    crt_pkcs11_lib *lib;
    crt_fault fault = {0};

    if (crt_pkcs11_lib_new(PKCS11_MODULE, CRT_PKCS11_STRICT, &lib, &fault)) {
        fail_msg("%s", fault.detail);
    }
    return lib;
}

/* A handshake with a server that demands a certificate and speaks `version` alone. */
static int shake_hands(const identity *id, int version, char *name) {
    crt_pkcs11_options token = {.lib = load(), .cert_pem = crt_bytes_str(id->cert_pem)};
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    tls_server server;
    client c;
    int code;

    options.pkcs11 = &token;
    server_init(&server, &site);
    SSL_CTX_set_min_proto_version(server.ctx, version);
    SSL_CTX_set_max_proto_version(server.ctx, version);
    SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(server.ctx), ca.certificate);
    client_init(&c);
    tls_connect(&c, &server, &options, "site.example");
    crt_pkcs11_lib_release(token.lib); /* the context has its own */
    code = c.connect_fault.code;
    strcpy(story, c.connect_fault.detail);
    if (code == 0) {
        client_close(&c);
    }
    client_free(&c); /* after the server's thread */
    strcpy(name, server.client_name);
    server_free(&server);
    return code;
}

static void the_token_signs(void **state) {
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION};
    char name[64];
    size_t i;

    for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        put_on_token(&ec);
        assert_int_equal(shake_hands(&ec, versions[i], name), 0);
        assert_string_equal(name, "ec device");
        put_on_token(&rsa);
        assert_int_equal(shake_hands(&rsa, versions[i], name), 0);
        assert_string_equal(name, "rsa device");
    }
}

static void tls_1_3_is_not_spoken(void **state) {
    char name[64];

    put_on_token(&ec);
    assert_int_equal(shake_hands(&ec, TLS1_3_VERSION, name), AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE);
}

static void expect_refusal(const identity *id, const char *answer, int code) {
    char name[64];

    put_on_token(id);
    setenv("PKCS11_SIGN", answer, 1);
    assert_int_equal(shake_hands(id, TLS1_2_VERSION, name), code);
    assert_non_null(strstr(story, "C_Sign failed"));
}

static void a_refusal_is_the_outcome_of_the_handshake(void **state) {
    expect_refusal(&ec, "0x30", AWS_ERROR_PKCS11_CKR_DEVICE_ERROR);
    expect_refusal(&rsa, "0x101", AWS_ERROR_PKCS11_CKR_USER_NOT_LOGGED_IN);
    expect_refusal(&ec, "0x7fffffff", AWS_ERROR_PKCS11_UNKNOWN_CRYPTOKI_RETURN_VALUE);
}

static void nonsense_for_a_signature_is_refused(void **state) {
    static const char *const lengths[] = {"0", "3", "66", "132"};
    char name[64];
    size_t i;

    setenv("PKCS11_KEY_TYPE", "3", 1);
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        setenv("PKCS11_BYTES", lengths[i], 1);
        assert_int_equal(shake_hands(&ec, TLS1_2_VERSION, name), AWS_ERROR_PKCS11_ENCODING_ERROR);
    }
}

static int open_context(const crt_pkcs11_options *token, int min_version) {
    crt_tls_ctx_options options = tls_options_trusting(&ca);
    crt_fault fault = {0};
    crt_tls_ctx *ctx = NULL;
    int status;

    options.pkcs11 = token;
    options.min_version = min_version;
    status = crt_tls_ctx_new(&options, &ctx, &fault);
    assert_true((status == 0) == (ctx != NULL));
    assert_int_equal(fault.code, status);
    crt_tls_ctx_release(ctx);
    return status;
}

static void contexts_that_cannot_be_made(void **state) {
    crt_pkcs11_lib *lib = load();
    const uint64_t slot = 8;
    const crt_pkcs11_options right = {.lib = lib, .cert_pem = crt_bytes_str(ec.cert_pem)};
    crt_pkcs11_options token = right;

    setenv("PKCS11_KEY_TYPE", "3", 1);
    assert_int_equal(open_context(&right, CRT_TLS_DEFAULT), 0);
    assert_int_equal(open_context(&right, CRT_TLS_1_3), AWS_IO_TLS_VERSION_UNSUPPORTED);
    token.token_label = crt_bytes_str("scripted");
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), 0);
    token.token_label = crt_bytes_str("scripte");
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_PKCS11_TOKEN_NOT_FOUND);
    token = right;
    token.slot_id = &slot;
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_PKCS11_TOKEN_NOT_FOUND);
    token = right;
    token.pin = crt_bytes_str("1234");
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_PKCS11_CKR_PIN_INCORRECT);
    token = right;
    token.cert_pem = crt_bytes_str(rsa.cert_pem);
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_IO_TLS_CTX_ERROR);
    token.cert_pem = crt_bytes_of(NULL, 0);
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_FILE_INVALID_PATH);
    token.cert_path = "/nonexistent";
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_FILE_INVALID_PATH);
    token.cert_pem = right.cert_pem;
    assert_int_equal(open_context(&token, CRT_TLS_DEFAULT), AWS_ERROR_INVALID_ARGUMENT);
    setenv("PKCS11_KEY_TYPE", "0x1f", 1); /* AES */
    assert_int_equal(open_context(&right, CRT_TLS_DEFAULT), AWS_ERROR_PKCS11_KEY_TYPE_UNSUPPORTED);
    crt_pkcs11_lib_release(lib);
}

static void modules_that_cannot_be_loaded(void **state) {
    crt_pkcs11_lib *lib;
    crt_fault fault = {0};

    assert_int_equal(crt_pkcs11_lib_new("/nonexistent", 0, &lib, &fault), AWS_IO_SHARED_LIBRARY_LOAD_FAILURE);
    assert_int_equal(crt_pkcs11_lib_new("", 0, &lib, &fault), AWS_IO_SHARED_LIBRARY_FIND_SYMBOL_FAILURE);
    assert_int_equal(crt_pkcs11_lib_new(PKCS11_MODULE, 3, &lib, &fault), AWS_ERROR_INVALID_ARGUMENT);
    setenv("PKCS11_VERSION", "2.11", 1);
    assert_int_equal(crt_pkcs11_lib_new(PKCS11_MODULE, 0, &lib, &fault), AWS_ERROR_PKCS11_VERSION_UNSUPPORTED);
    assert_null(lib);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_token_signs, leak_check_begin, forget_environment),
        cmocka_unit_test_setup_teardown(tls_1_3_is_not_spoken, leak_check_begin, forget_environment),
        cmocka_unit_test_setup_teardown(a_refusal_is_the_outcome_of_the_handshake, leak_check_begin, forget_environment),
        cmocka_unit_test_setup_teardown(nonsense_for_a_signature_is_refused, leak_check_begin, forget_environment),
        cmocka_unit_test_setup_teardown(contexts_that_cannot_be_made, leak_check_begin, forget_environment),
        cmocka_unit_test_setup_teardown(modules_that_cannot_be_loaded, leak_check_begin, forget_environment),
    };
    return cmocka_run_group_tests(tests, make_identities, free_identities);
}
