/* Names of the log subjects. Numbers and names are what users of the AWS runtime filter their logs by. */
#include "crt/log.h"

typedef struct subject {
    int id;
    const char *name;
} subject;

static const subject subjects[] = {
    {0x0000, "aws-c-common"},
    {0x0001, "task-scheduler"},
    {0x0002, "thread"},
    {0x0003, "memtrace"},
    {0x0004, "xml-parser"},
    {0x0005, "common-io"},
    {0x0006, "bus"},
    {0x0007, "test"},
    {0x0008, "json-parser"},
    {0x0009, "cbor"},
    {0x0400, "aws-c-io"},
    {0x0401, "event-loop"},
    {0x0402, "socket"},
    {0x0403, "socket-handler"},
    {0x0404, "tls-handler"},
    {0x0405, "alpn"},
    {0x0406, "dns"},
    {0x0407, "pki-utils"},
    {0x0408, "channel"},
    {0x0409, "channel-bootstrap"},
    {0x040a, "file-utils"},
    {0x040b, "shared-library"},
    {0x040c, "exp-backoff-strategy"},
    {0x040d, "standard-retry-strategy"},
    {0x040e, "pkcs11"},
    {0x040f, "pem"},
    {0x0410, "socks5"},
    {0x0411, "l4proxy"},
    {0x0412, "adaptive-retry-strategy"},
    {0x0800, "http"},
    {0x0801, "http-connection"},
    {0x0802, "http-encoder"},
    {0x0803, "http-decoder"},
    {0x0804, "http-server"},
    {0x0805, "http-stream"},
    {0x0806, "connection-manager"},
    {0x0807, "http2-stream-manager"},
    {0x0808, "websocket"},
    {0x0809, "websocket-setup"},
    {0x080a, "proxy-negotiation"},
    {0x1000, "event-stream-general"},
    {0x1001, "event-stream-channel-handler"},
    {0x1002, "event-stream-rpc-server"},
    {0x1003, "event-stream-rpc-client"},
    {0x1400, "mqtt"},
    {0x1401, "mqtt-client"},
    {0x1402, "mqtt-topic-tree"},
    {0x1403, "mqtt5-general"},
    {0x1404, "mqtt5-client"},
    {0x1405, "mqtt5-canary"},
    {0x1406, "mqtt5-to-mqtt3-adapter"},
    {0x1407, "mqtt-request-response-systems"},
    {0x1800, "AuthGeneral"},
    {0x1801, "AuthProfile"},
    {0x1802, "AuthCredentialsProvider"},
    {0x1803, "AuthSigning"},
    {0x1c00, "aws-c-cal"},
    {0x1c01, "ecc"},
    {0x1c02, "hash"},
    {0x1c03, "hmac"},
    {0x1c04, "der"},
    {0x1c05, "libcrypto_resolve"},
    {0x1c06, "rsa"},
    {0x1c07, "ed25519"},
    {0x3800, "S3General"},
    {0x3801, "S3Client"},
    {0x3802, "S3ClientStats"},
    {0x3803, "S3Request"},
    {0x3804, "S3MetaRequest"},
    {0x3805, "S3Endpoint"},
    {0x3c00, "SDKUtils"},
    {0x3c01, "AWSProfile"},
    {0x3c02, "AWSEndpointsParsing"},
    {0x3c03, "AWSEndpointsResolution"},
    {0x3c04, "AWSEndpoints"},
    {0x3c05, "AWSEndpoints"},
    {0x3c06, "AWSEndpoints"},
    {0x3c07, "AwsChunkedDecoder"},
};

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
