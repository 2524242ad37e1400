// kv_store.hpp - chapter 2: the seam between the decoder and whatever remembers
// keys and values.
//
// The decoder hands over each layer's new keys and values and asks for attention over
// everything that this store still holds; it never learns how, or whether, they are kept. One
// call of the decoder is one step:
//
// ANCHOR: step
//   begin(T)                                 room for T tokens, or Error and nothing happened
//     layer 0:  append(0, k, v)  attend(0, q, out)
//     layer 1:  append(1, k, v)  attend(1, q, out)
//     ...
//   commit()                                 the T tokens count: next_position() grows by T
//
//   abandon() instead of commit()            the step never was
// ANCHOR_END: step
//
// Two numbers are easily confused, as long as nothing is forgotten they are even equal:
//   position  a token's place in the text, 0, 1, 2 ...; RoPE and the causal mask use it
//   slot      a place in the store's memory; sums run over slots, in slot order, in tiles of 64
#pragma once

#include <memory>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

struct KvShape {
    Index layers;    // L
    Index heads;     // Hq
    Index kv_heads;  // Hkv
    Index head_dim;  // D

    bool operator==(const KvShape&) const = default;
};

// Of each of the four: as many as Config allows layers and heads.
inline constexpr Index kMostOfKvShape = 1 << 12;

// Throws Error "<store>: layers: expected 1 to 4096, found 0" unless all four are such numbers
// and the query heads share the KV heads evenly. The products of such a shape fit in an Index.
void check_kv_shape(const char* store, const KvShape& shape);

// In which form a store wants keys and queries.
enum class KeyForm {
    rotated,    // after RoPE at their positions; queries also scaled
    unrotated,  // before RoPE, queries unscaled; attend() rotates both and scales q
};

struct KvBytes {
    Index logical = 0;    // of the keys, values and whatever else describes the tokens held
    Index allocated = 0;  // what was asked of the allocator for them
};

// What attend() did, counted where it was done.
struct AttentionWork {
    Index pairs = 0;  // (query head, slot) pairs: each is D fma for its score, D for its value
    Index bytes_read = 0;     // of keys and values, each once however often it was looked at
    Index bytes_written = 0;  // of the step's new keys and values
};

// A store belongs to one sequence and one thread at a time, and stays where it was made: a
// moved or copied one would leave a half behind. fork() is the copy, reset() starts again.
class KvStore {
public:
    KvStore() = default;
    virtual ~KvStore() = default;
    KvStore(const KvStore&) = delete;
    KvStore& operator=(const KvStore&) = delete;

    virtual const KvShape& shape() const = 0;

    // The position of the next token: how many tokens this sequence has seen, kept or not.
    virtual Index next_position() const = 0;

    // How many more tokens begin() would accept.
    virtual Index room() const = 0;

    virtual KeyForm key_form() const { return KeyForm::rotated; }

    // In whose memory it works: it must be the engine's (Engine::host_memory).
    virtual bool host_memory() const { return true; }

    // False if every step must bring the whole text again: then a prompt cannot come in pieces.
    virtual bool remembers() const { return true; }

    // Opens a step of T tokens. Throws Error, and changes nothing, unless 1 <= T <= room(), or
    // while a step is open.
    virtual void begin(Index T) = 0;

    // The step's keys and values of one layer; once per layer, in order, after begin(T).
    virtual void append(Index layer,
                        const View<const float>& k,       // [T, Hkv, D], in key_form()
                        const View<const float>& v) = 0;  // [T, Hkv, D]

    // Attention of the step's queries: token t sees every held slot of earlier tokens and the
    // step's tokens 0..t. Scores are q . k as they stand, since q comes scaled by log2(e) /
    // sqrt(D) (contract, rule 3). Different stores may be asked at the same time, by threads of
    // the decoder; everything else comes from one thread. Throws Error outside of a step, for a
    // layer without the step's rows, and for other shapes.
    virtual AttentionWork attend(Index layer,
                                 const View<const float>& q,  // [T, Hq, D], in key_form()
                                 const View<float>& out,      // [T, Hq, D]
                                 ThreadPool& pool) = 0;

    // Ends the step: its tokens count. Throws Error unless all layers have their rows.
    virtual void commit() = 0;

    // Ends the step as if it had never begun; without one, nothing happens. Whoever opened a
    // step that fails has to call it.
    virtual void abandon() noexcept = 0;

    // Forgets every token at position >= length, as if it had never come. Throws Error when the
    // store cannot, unless 0 <= length <= next_position(), or while a step is open.
    virtual void truncate(Index length) = 0;

    void reset() { truncate(0); }

    // An independent copy: two continuations of one prompt. Throws Error while a step is open.
    virtual std::unique_ptr<KvStore> fork() const = 0;

    virtual KvBytes bytes() const = 0;
};

}  // namespace kvlab
