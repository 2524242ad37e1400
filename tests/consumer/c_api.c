/* The reference from C: a text with a cache and without one, compared with ==, and an engine
 * that is wrong in one number. c_api MODEL.gguf */
#include <stdio.h>
#include <string.h>

#include <kvlab/kvlab.h>

enum { V = 256, T = 6 };

static int failed(const char* what) {
    fprintf(stderr, "%s: %s\n", what, kvlab_last_error());
    return 1;
}

int main(int argc, char** argv) {
    const int32_t tokens[T] = {73, 110, 32, 116, 104, 101};
    const kvlab_recording none = {0};
    static float whole[T * V], row[V];
    kvlab_model model;
    kvlab_cache cache;
    kvlab_difference difference;
    int t;

    if (kvlab_model_open(argc > 1 ? argv[1] : "tiny", &model) != KVLAB_OK)
        return failed("model");
    if (kvlab_model_logits(model, tokens, T, none, whole, T * V) != KVLAB_OK)
        return failed("without a cache");
    if (kvlab_cache_new(model, T, &cache) != KVLAB_OK) return failed("cache");
    if (kvlab_model_close(model) != KVLAB_OK) return failed("close");
    for (t = 0; t < T; ++t) {
        if (kvlab_cache_decode(cache, &tokens[t], 1, KVLAB_LAST_ROW, none, row, V) != KVLAB_OK)
            return failed("decode");
        if (memcmp(row, whole + t * V, sizeof row) != 0) return 1;
    }
    if (kvlab_cache_decode(cache, tokens, 1, KVLAB_LAST_ROW, none, row, V) != KVLAB_NO_ROOM)
        return failed("a full cache");
    printf("%s\n", kvlab_last_error());
    if (kvlab_cache_free(cache) != KVLAB_OK) return failed("free");

    row[3] += 0.5f;
    if (kvlab_compare_arrays(whole + (T - 1) * V, row, 1, V, 1e-4, &difference) != KVLAB_OK)
        return failed("compare");
    printf("%s\n", difference.text);
    return difference.differ == 1 && difference.element == 3 ? 0 : 1;
}
