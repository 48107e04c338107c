/* `greet` in C through stdio, which needs WASI. */
#include <stdio.h>
#include <stdlib.h>

#include "greet.h"

void exports_greet_greet(greet_string_t *name, greet_string_t *ret) {
    int length = (int)name->len;
    const char *text = (const char *)name->ptr;
    fprintf(stderr, "greeting %.*s\n", length, text);
    int needed = snprintf(NULL, 0, "Hello, %.*s!", length, text);
    char *out = malloc((size_t)needed + 1);
    snprintf(out, (size_t)needed + 1, "Hello, %.*s!", length, text);
    ret->ptr = (uint8_t *)out;
    ret->len = (size_t)needed;
    greet_string_free(name);
}
