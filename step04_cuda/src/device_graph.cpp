// device_graph.cpp - chapter 4: records launches; on a GPU its stream does.
#include <kvlab/cuda/device_graph.hpp>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/tensor/error.hpp>

#include "../gpu/gpu_runtime.hpp"
#include "recording.hpp"

namespace kvlab {

namespace {

struct Recording {
    std::vector<std::function<void()>> launches;  // null: the GPU's stream has it
    std::vector<void*> to_free;
};

Recording*& current_recording() {
    thread_local Recording* recording = nullptr;
    return recording;
}

}  // namespace

bool is_recording() {
    return current_recording() != nullptr;
}

void check_not_recording(const std::string& what) {
    check(!is_recording(), what, ": not while a graph is being recorded");
}

void note_recorded(std::function<void()> run) {
    if (is_recording()) current_recording()->launches.push_back(std::move(run));
}

bool free_after_recording(void* pointer) {
    if (!is_recording()) return false;
    current_recording()->to_free.push_back(pointer);
    return true;
}

DeviceGraph::~DeviceGraph() {
    clear();
}

void DeviceGraph::clear() {
    gpu_graph_drop(on_gpu_);
    on_gpu_ = nullptr;
    launches_.clear();
    size_ = 0;
}

void DeviceGraph::record(const std::function<void()>& launches) {
    check_not_recording("record");
    clear();
    device_ = selected_device();
    Recording recording;
    // What is done when the recording ends, however it does.
    const auto end = [&] {
        current_recording() = nullptr;
        for (void* pointer : recording.to_free) device_free(pointer);
    };
    if (device_ == Device::gpu) gpu_graph_begin();
    current_recording() = &recording;
    try {
        launches();
        if (device_ == Device::gpu) on_gpu_ = gpu_graph_end();
    } catch (...) {
        if (device_ == Device::gpu) gpu_graph_abandon();
        end();
        throw;
    }
    end();
    if (!recording.to_free.empty()) {
        clear();
        throw Error("device_free: not while a graph is being recorded");
    }
    size_ = std::ssize(recording.launches);
    if (device_ == Device::executor) launches_ = std::move(recording.launches);
}

void DeviceGraph::launch() {
    check_not_recording("launch of a graph");
    check(size_ > 0, "launch of a graph: nothing has been recorded");
    check(device_ == selected_device(), "launch of a graph: it was recorded on another device");
    if (device_ == Device::gpu) gpu_graph_launch(on_gpu_);
    for (const std::function<void()>& run : launches_) run();  // the executor's
    count_launches(size_);
}

}  // namespace kvlab
