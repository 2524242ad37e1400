// kvlab.h - the reference from C, and from whatever can call C: attention, decoding with a
// cache and without one, checksums, and the first number in which two engines differ.
//
//   kvlab_model model;
//   if (kvlab_model_open("weights/tiny.gguf", &model) != KVLAB_OK)
//       fprintf(stderr, "%s\n", kvlab_last_error());
//
// Arrays are the caller's: plain pointers to contiguous, row-major memory, which is read or
// written during the call only. Shapes stand in the comments, with these letters: T new tokens
// of a call, S tokens that are visible, V vocabulary, L layers, Hq query heads, Hkv key/value
// heads, D floats of a head. Numbers are 32-bit floats without units; sizes are counted in
// floats unless the name says bytes.
//
// Every function but kvlab_last_error() returns a kvlab_status. A call that fails has changed
// nothing, writes no output, and leaves one line in kvlab_last_error() with the function, what
// was expected and what was found. No exception leaves the library. What is refused everywhere:
// a null pointer where an array or a result is asked for, a handle that was never made or is
// closed, and sizes that do not belong together (KVLAB_BAD_ARGUMENT).
//
// Threads may call everything at any time. Calls with the same cache or recording wait for one
// another; different caches of one model run side by side. All numbers have the bits of the
// contract (chapter 1): the same on every machine, in any number of threads, with and without
// the cache.
#ifndef KVLAB_KVLAB_H
#define KVLAB_KVLAB_H

#include <stdint.h>

#if defined(KVLAB_BUILDS_API)
#define KVLAB_API __attribute__((visibility("default")))
#else
#define KVLAB_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): a prefix is all that C has for a namespace.

typedef enum kvlab_status {
    KVLAB_OK = 0,
    KVLAB_BAD_ARGUMENT = 1,  // the call itself is wrong
    KVLAB_NO_ROOM = 2,       // the cache, the context of the model or the machine is full
    KVLAB_BAD_FILE = 3,      // a file that cannot be read, or is not what it should be
    KVLAB_FAILED = 4         // anything else, such as logits that are not finite
} kvlab_status;

// What went wrong in the last call of this thread that failed; "" if none has. Valid until the
// next call of this thread fails.
KVLAB_API const char* kvlab_last_error(void);

// Handles: numbers, and never used again. {0} is none. A cache keeps its model alive, so they
// may be closed in any order.
typedef struct kvlab_model {
    uint64_t id;
} kvlab_model;

typedef struct kvlab_cache {
    uint64_t id;
} kvlab_cache;

typedef struct kvlab_recording {
    uint64_t id;
} kvlab_recording;

// --- attention and checksums
// ----------------------------------------------------------------------

typedef struct kvlab_attention_shape {
    int64_t T;         // queries: the last T of the S tokens, 1 <= T <= S
    int64_t S;         // tokens that have a key and a value
    int64_t heads;     // Hq, a multiple of Hkv
    int64_t kv_heads;  // Hkv: query head h reads KV head h / (Hq / Hkv)
    int64_t head_dim;  // D
} kvlab_attention_shape;

// Causal attention by the plain loop of chapter 2. Query t is that of token S - T + t and sees
// the tokens 0 to S - T + t. Its weights are softmax(q . k / sqrt(D)): give q unscaled, and q
// and k after RoPE if there is any. (The engine multiplies q by log2(e) / sqrt(D), rounded
// once, and counts in powers of two; that is done here.)
KVLAB_API int kvlab_attention(const kvlab_attention_shape* shape,
                              const float* q,  // [T, Hq, D]
                              const float* k,  // [S, Hkv, D]
                              const float* v,  // [S, Hkv, D]
                              float* out);     // [T, Hq, D]

// FNV-1a, 64 bit, over the 32-bit patterns of the values in order (chapter 1, rule 8). Two
// arrays with the same sum have, but for a chance of 2^-64, the same bits. count may be 0.
KVLAB_API int kvlab_checksum(const float* values, int64_t count, uint64_t* sum);

// --- models
// ---------------------------------------------------------------------------------------

typedef struct kvlab_config {
    int32_t architecture;  // 0: llama (RMSNorm, RoPE, SwiGLU), 1: gpt2
    int32_t tied_output;   // 1: the output matrix is the embedding
    int64_t vocab;         // V
    int64_t dim;           // width of the residual stream
    int64_t layers;        // L
    int64_t heads;         // Hq
    int64_t kv_heads;      // Hkv
    int64_t head_dim;      // D
    int64_t ffn;           // width of the feed-forward layer
    int64_t context;       // positions of the model: the longest text
    int64_t rope_dim;      // the first rope_dim floats of a head are rotated, as neighbours
    double rope_base;
    float norm_eps;
    char name[64];  // cut if it is longer
} kvlab_config;

// A GGUF file, by its path or by a name that the programs know ("tiny", with $KVLAB_WEIGHTS
// naming the folder). KVLAB_BAD_FILE if it cannot be read or run.
KVLAB_API int kvlab_model_open(const char* path, kvlab_model* model);
KVLAB_API int kvlab_model_close(kvlab_model model);
KVLAB_API int kvlab_model_config(kvlab_model model, kvlab_config* config);

// The tokens of a text (UTF-8, ends with 0), with the mark of the beginning where the model
// wants one. *count is how many there are; KVLAB_NO_ROOM, and *count is told all the same, if
// they are more than `room`. tokens may be null if room is 0.
KVLAB_API int kvlab_model_encode(
    kvlab_model model, const char* text, int32_t* tokens, int64_t room, int64_t* count);

// The weights, for an engine that has no reader of its own: how many tensors the file has, what
// the i-th is called, and its numbers as floats (whatever the file keeps them in).
typedef struct kvlab_tensor_info {
    char name[128];
    int32_t rank;      // 1 to 4
    int64_t shape[4];  // row-major: a matrix is [outputs, inputs]; 1 beyond the rank
} kvlab_tensor_info;

KVLAB_API int kvlab_model_tensor_count(kvlab_model model, int64_t* count);
KVLAB_API int kvlab_model_tensor_info(kvlab_model model, int64_t i, kvlab_tensor_info* info);
KVLAB_API int kvlab_model_tensor(kvlab_model model,
                                 const char* name,
                                 float* values,    // the product of its shape
                                 int64_t floats);  // how many there is room for: exactly that

// The logits of a whole text without a cache. Records one step if `recording` is not {0}.
// KVLAB_BAD_ARGUMENT for a token outside of 0 to V - 1, KVLAB_NO_ROOM beyond the context.
KVLAB_API int kvlab_model_logits(kvlab_model model,
                                 const int32_t* tokens,  // [T], 1 <= T <= context
                                 int64_t T,
                                 kvlab_recording recording,
                                 float* logits,    // [T, V]
                                 int64_t floats);  // T V

// --- caches
// ---------------------------------------------------------------------------------------

typedef struct kvlab_cache_info {
    int64_t length;           // tokens that it holds
    int64_t capacity;         // tokens that it can hold
    int64_t bytes_held;       // of the keys and values of these tokens
    int64_t bytes_allocated;  // of all that it has
} kvlab_cache_info;

typedef enum kvlab_rows { KVLAB_LAST_ROW = 0, KVLAB_ALL_ROWS = 1 } kvlab_rows;

// An empty cache of 32-bit floats. 1 <= capacity <= context.
KVLAB_API int kvlab_cache_new(kvlab_model model, int64_t capacity, kvlab_cache* cache);
KVLAB_API int kvlab_cache_free(kvlab_cache cache);
KVLAB_API int kvlab_cache_info_of(kvlab_cache cache, kvlab_cache_info* info);

// Feeds T tokens behind those that it holds: a prompt whole or in pieces, then one by one.
// Records one step if `recording` is not {0}. Errors as kvlab_model_logits(), and KVLAB_NO_ROOM
// if the tokens do not fit; the cache is then as it was.
KVLAB_API int kvlab_cache_decode(kvlab_cache cache,
                                 const int32_t* tokens,  // [T]
                                 int64_t T,
                                 int rows,  // a kvlab_rows
                                 kvlab_recording recording,
                                 float* logits,    // [V] of the last token, or [T, V]
                                 int64_t floats);  // V or T V

// Forgets every token from position `length` on. 0 <= length <= the length it has.
KVLAB_API int kvlab_cache_truncate(kvlab_cache cache, int64_t length);

// An independent copy, of the same capacity: two continuations of one text.
KVLAB_API int kvlab_cache_fork(kvlab_cache cache, kvlab_cache* copy);

// --- recordings and the first difference
// ----------------------------------------------------------

// What the operators of some steps produced. Filled by the reference (above), by your own
// engine (kvlab_recording_add), or read from a file that any engine wrote
// (step03_kvcache/trace_format.md, which also lists the operators). head_dim is D, or 0: heads
// are not told apart.
KVLAB_API int kvlab_recording_new(int64_t head_dim, kvlab_recording* recording);
KVLAB_API int kvlab_recording_free(kvlab_recording recording);

// The run of a trace: FILE means its first run, FILE#name another. KVLAB_BAD_FILE,
// with the line.
KVLAB_API int kvlab_recording_read(const char* file_and_run, kvlab_recording* recording);

// One operator of the step that is open. Each operator of a layer once in a step.
KVLAB_API int kvlab_recording_add(kvlab_recording recording,
                                  const char* op,            // "logits", "key" ...
                                  int64_t layer,             // -1 outside of the layers
                                  const int64_t* positions,  // [rows]
                                  int64_t rows,
                                  const float* values,  // [rows, width]
                                  int64_t width);

// Ends the open step, which must hold an operator. token: what was chosen from it,
// -1: not told.
KVLAB_API int kvlab_recording_end_step(kvlab_recording recording, int32_t token);

// How many steps have ended.
KVLAB_API int kvlab_recording_steps(kvlab_recording recording, int64_t* steps);

typedef struct kvlab_difference {
    int64_t floats;    // that were compared
    int64_t differ;    // of these, by more than the tolerance
    int64_t left_out;  // operators that one recording alone has
    uint64_t max_ulp;  // the largest distance, counted in floats that lie between
    double max_abs;    // the largest |a - b|
    // The first that differs. Where differ is 0 the rest is 0, -1 or "".
    int64_t step, layer;
    int64_t position, position_b;  // of the row in either; equal, or that is the bug
    int64_t head;                  // -1: not told apart, or an operator without heads
    int64_t element;               // inside of the head, or of the row
    float a, b;
    uint64_t ulp;      // between the two
    double relative;   // the largest |a - b| of the row over its largest |a|
    char op[24];       // the operator
    char text[256];    // place, both numbers to the last bit, their distance, on one line
    char likely[192];  // what usually differs first there: a guess
} kvlab_difference;

// Compares two recordings, step by step, as far as both go, in the operators that both have; of
// each the last rows, as many as both have. tolerance 0: every bit counts. Otherwise two floats
// differ if |a - b| is more than tolerance times the largest |a| of the row, or if one of them
// alone is no number. KVLAB_OK says that it was compared: look at `differ`. KVLAB_BAD_ARGUMENT
// for recordings without a step or an operator in common, with rows of another width or heads
// of another size.
KVLAB_API int kvlab_compare(kvlab_recording a,
                            kvlab_recording b,
                            double tolerance,
                            kvlab_difference* difference);

// The same for two arrays; `position` is the row, `op` is "array" and there is no guess. rows
// and width may be 0: nothing differs.
KVLAB_API int kvlab_compare_arrays(const float* a,  // [rows, width]
                                   const float* b,  // [rows, width]
                                   int64_t rows,
                                   int64_t width,
                                   double tolerance,
                                   kvlab_difference* difference);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif

#endif
