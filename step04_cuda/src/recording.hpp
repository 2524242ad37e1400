// recording.hpp - chapter 4: what the rest of the device's side asks about a graph that is
// being recorded by this thread (device_graph.hpp).
#pragma once

#include <functional>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

bool is_recording();

// For launch_count(): so many kernels have been launched, by name or as a graph.
void count_launches(Index count);

// Throws Error that begins with `what`, if a graph is being recorded.
void check_not_recording(const std::string& what);

// A launch has been recorded: by the GPU's stream, or as `run`.
void note_recorded(std::function<void()> run = nullptr);

// Destructors free memory and throw nothing. So memory that is freed while a graph is recorded
// stays until the recording ends, which throws in their place. Whether it does so.
bool free_after_recording(void* pointer);

}  // namespace kvlab
