// by_hand.hpp - chapter 8: the worked examples of the other two files.
#pragma once

namespace kvlab::app {

// by_hand_states.cpp: states that every token overwrites.
void show_linear();
void show_delta();
void show_gates();
void show_scan();

// by_hand_choice.cpp: latents, and tokens that their contents choose.
void show_latent();
void show_buckets();
void show_indexer();

// As printf takes it.
inline double wide(float x) {
    return static_cast<double>(x);
}

}  // namespace kvlab::app
