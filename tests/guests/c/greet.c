/* `greet` in C. Nothing of it needs WASI: malloc grows the memory by itself. The caller frees. */
#include <stdlib.h>
#include <string.h>

#include "greet.h"

void exports_greet_greet(greet_string_t *name, greet_string_t *ret) {
    static const char hello[] = "Hello, ";
    size_t before = sizeof hello - 1;
    char *text = malloc(before + name->len + 1);
    memcpy(text, hello, before);
    memcpy(text + before, name->ptr, name->len);
    text[before + name->len] = '!';
    ret->ptr = (uint8_t *)text;
    ret->len = before + name->len + 1;
    greet_string_free(name);
}
