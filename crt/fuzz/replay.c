/*
 * A fuzz target as an ordinary test: runs it over the given seeds, over beginnings of each, and over each with one
 * byte changed. Always the same inputs; a target that finds a fault aborts. The search for new ones is libFuzzer's
 * (CRT_FUZZ).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of seeds up to this long all beginnings and nine changes of each byte are run; of longer ones about as many inputs,
   spread evenly: a target that computes keys takes a millisecond for each. */
enum { SHORT_SEED = 256 };

static size_t runs;

/* In memory of the exact size: the sanitizer sees reads behind the end. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_beginnings(const uint8_t *data, size_t size) {
    size_t step = 1 + size / (SHORT_SEED + 1);
    for (size_t end = 0; end < size; end += step) {
        run(data, end);
    }
}

/* Smallest and largest values, neighbours, and each half of the bits turned: lengths, types and letter case change. */
static void run_mutations(uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        uint8_t was = data[i];
        const uint8_t values[] = {0x00,
                                  0x7f,
                                  0xff,
                                  (uint8_t)(was + 1),
                                  (uint8_t)(was - 1),
                                  was ^ 0x80,
                                  was ^ 0x20,
                                  was ^ 0x0f,
                                  was ^ 0xf0};
        size_t step = size > SHORT_SEED ? sizeof(values) : 1;
        for (size_t v = step > 1 ? i % step : 0; v < sizeof(values); v += step) {
            if (values[v] != was) {
                data[i] = values[v];
                run(data, size);
            }
        }
        data[i] = was;
    }
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    uint8_t *data = NULL;
    long end = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
    if (end >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        *size = (size_t)end;
        data = malloc(*size + 1);
    }
    if (data && fread(data, 1, *size, file) != *size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s seed...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        size_t size = 0;
        uint8_t *data = read_file(argv[i], &size);
        if (!data) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 2;
        }
        run(data, size);
        run_beginnings(data, size);
        run_mutations(data, size);
        free(data);
    }
    printf("%d seeds, %zu inputs\n", argc - 1, runs);
    return 0;
}
