/*
 * What all signatures of one moment share: the date, the credential scope and the key.
 */
#include "signing.h"

#define ALGORITHM_V4 "AWS4-HMAC-SHA256"
#define ALGORITHM_V4A "AWS4-ECDSA-P256-SHA256"

int crt_sha256_hex(crt_bytes data, char hex[CRT_SHA256_HEX_LEN]) {
    uint8_t digest[CRT_SHA256_LEN];
    int code = crt_sha256(data, digest);
    if (!code) {
        crt_hex_encode(crt_bytes_of(digest, sizeof(digest)), hex);
    }
    return code;
}

/* ---- date ---- */

/* Civil date of a day count since 1970 (proleptic Gregorian): years start in March, so that leap days end them. */
static void civil_date(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * of_year + 2) / 153);
    *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static void put_digits(char *to, int64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

static int format_date(int64_t at, char out[CRT_DATE_TIME_LEN], crt_fault *fault) {
    const int64_t seconds_of_day = 86400;
    const int64_t first = INT64_C(-62167219200); /* 0000-01-01 */
    const int64_t last = INT64_C(253402300799);  /* 9999-12-31T23:59:59 */
    if (at < first || at > last) {
        return crt_fail(fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION, "the date is outside the years 0 to 9999");
    }
    int64_t days = at / seconds_of_day - (at % seconds_of_day < 0);
    int64_t second = at - days * seconds_of_day;
    int64_t year;
    int month, day;
    civil_date(days, &year, &month, &day);
    put_digits(out, year, 4);
    put_digits(out + 4, month, 2);
    put_digits(out + 6, day, 2);
    out[8] = 'T';
    put_digits(out + 9, second / 3600, 2);
    put_digits(out + 11, second / 60 % 60, 2);
    put_digits(out + 13, second % 60, 2);
    out[15] = 'Z';
    return 0;
}

/* ---- scope and key ---- */

static int check_config(const crt_signing_config *config, const crt_credentials *credentials, crt_fault *fault) {
    if (config->algorithm != CRT_SIGN_V4 && config->algorithm != CRT_SIGN_V4_ASYMMETRIC &&
        config->algorithm != CRT_SIGN_V4_S3EXPRESS) {
        return crt_fail(fault, AWS_AUTH_SIGNING_UNSUPPORTED_ALGORITHM, "unknown algorithm %d", config->algorithm);
    }
    if (config->signature_type != CRT_SIGN_HEADERS && config->signature_type != CRT_SIGN_QUERY) {
        return crt_fail(fault, AWS_AUTH_SIGNING_UNSUPPORTED_SIGNATURE_TYPE, "unknown signature type %d",
                        config->signature_type);
    }
    if (!config->region.len || !config->service.len) {
        return crt_fail(fault, AWS_AUTH_SIGNING_INVALID_CONFIGURATION, "signing needs a region and a service");
    }
    if (!credentials) {
        return crt_fail(fault, AWS_AUTH_SIGNING_NO_CREDENTIALS, "no credentials were given");
    }
    return 0;
}

static int build_credential(crt_signer *signer) {
    const crt_signing_config *config = signer->config;
    crt_bytes id = signer->credentials->access_key_id;
    crt_buf *out = &signer->credential;
    int code = crt_buf_reserve(out, id.len + CRT_DATE_LEN + config->region.len + config->service.len + 16);
    if (code) {
        return code;
    }
    crt_signing_put(out, id);
    crt_signing_put_str(out, "/");
    crt_signing_put(out, crt_bytes_of(signer->date_time, CRT_DATE_LEN));
    crt_signing_put_str(out, "/");
    if (config->algorithm != CRT_SIGN_V4_ASYMMETRIC) { /* whose signatures hold for several regions */
        crt_signing_put(out, config->region);
        crt_signing_put_str(out, "/");
    }
    crt_signing_put(out, config->service);
    crt_signing_put_str(out, "/aws4_request");
    signer->scope = crt_bytes_of(crt_buf_data(out) + id.len + 1, crt_buf_len(out) - id.len - 1);
    return 0;
}

int crt_signer_init(crt_signer *signer, const crt_signing_config *config, const crt_credentials *credentials,
                    crt_fault *fault) {
    signer->config = config;
    signer->credentials = credentials;
    signer->credential = (crt_buf)CRT_BUF_INIT;
    int code = check_config(config, credentials, fault);
    if (!code) {
        code = format_date(config->date_unix, signer->date_time, fault);
    }
    if (!code) {
        code = build_credential(signer);
    }
    if (code) {
        return code;
    }
    signer->token_name = crt_bytes_str(config->algorithm == CRT_SIGN_V4_S3EXPRESS ? "X-Amz-S3session-Token"
                                                                                  : "X-Amz-Security-Token");
    if (config->algorithm == CRT_SIGN_V4_ASYMMETRIC) {
        signer->algorithm = crt_bytes_str(ALGORITHM_V4A);
        return crt_sigv4a_derive(credentials, signer->ec_number);
    }
    signer->algorithm = crt_bytes_str(ALGORITHM_V4);
    return crt_signing_key(credentials, signer->date_time, config->region, config->service, &signer->key);
}

void crt_signer_clear(crt_signer *signer) {
    crt_wipe(&signer->key, sizeof(signer->key));
    crt_wipe(signer->ec_number, sizeof(signer->ec_number));
    crt_buf_free(&signer->credential);
}

/* ---- signing ---- */

static int sign_with_hmac(const crt_signer *signer, crt_bytes text, uint8_t out[CRT_SHA256_LEN]) {
    crt_hmac hmac = signer->key;
    int code = crt_hmac_update(&hmac, text);
    if (!code) {
        code = crt_hmac_digest(&hmac, out);
    }
    crt_hmac_wipe(&hmac);
    return code;
}

static int sign_with_ec(const crt_signer *signer, crt_bytes text, uint8_t *out, size_t *len) {
    uint8_t digest[CRT_SHA256_LEN];
    int code = crt_sha256(text, digest);
    return code ? code
                : crt_ec_sign_with(CRT_EC_P256, crt_bytes_of(signer->ec_number, sizeof(signer->ec_number)),
                                   crt_bytes_of(digest, sizeof(digest)), out, len);
}

int crt_signer_sign(const crt_signer *signer, crt_bytes text, char signature[CRT_SIGNATURE_MAX], size_t *len) {
    uint8_t raw[CRT_EC_SIGNATURE_MAX];
    size_t raw_len = CRT_SHA256_LEN;
    int code = signer->config->algorithm == CRT_SIGN_V4_ASYMMETRIC ? sign_with_ec(signer, text, raw, &raw_len)
                                                                   : sign_with_hmac(signer, text, raw);
    if (code) {
        return code;
    }
    crt_hex_encode(crt_bytes_of(raw, raw_len), signature);
    *len = 2 * raw_len;
    return 0;
}
