/* What every fuzz target exports, and how it says that an answer is wrong.
 *
 * To add one: write fuzz_NAME.c with LLVMFuzzerTestOneInput, put a few small seeds
 * in corpus/NAME/, run `./dev fuzz NAME 60`, and keep what it found there.  The
 * input block has exactly the size given, so sanitizers see reads behind it. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Crashes, which is what both libFuzzer and the replay report. */
#define MUST(expr)                                                                                 \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #expr);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
