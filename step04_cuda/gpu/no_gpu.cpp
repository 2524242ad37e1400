// no_gpu.cpp - chapter 4: the place of cuda_runtime.cu in a program that was
// built without nvcc.
#include <kvlab/tensor/error.hpp>

#include "gpu_runtime.hpp"

namespace kvlab {

namespace {

// Nobody comes to the functions that use it: select_device() lets no one through.
[[noreturn]] void none() {
    throw Error("GPU: not built (no nvcc)");
}

}  // namespace

const bool kGpuBuilt = false;

bool gpu_found(std::string* why_not) {
    if (why_not != nullptr) *why_not = "not built: no nvcc, or KVLAB_GPU is off";
    return false;
}

void gpu_open() {
    none();
}

std::string gpu_name() {
    none();
}

DeviceFacts gpu_facts() {
    none();
}

std::size_t gpu_static_shared(const char*, const void*) {
    none();
}

void gpu_launch(const GpuLaunch&) {
    none();
}

unsigned gpu_resident_blocks(const GpuLaunch&) {
    none();
}

void gpu_graph_begin() {
    none();
}

void* gpu_graph_end() {
    none();
}

void gpu_graph_abandon() {
    none();
}

void gpu_graph_launch(void*) {
    none();
}

void gpu_graph_drop(void*) {}

void* gpu_alloc(std::size_t, const char*) {
    none();
}

void gpu_free(void*) {
    none();
}

void gpu_copy_to_device(void*, const void*, std::size_t) {
    none();
}

void gpu_copy_to_host(void*, const void*, std::size_t) {
    none();
}

void gpu_synchronize() {
    none();
}

void* gpu_seconds_make() {
    none();
}

void gpu_seconds_begin(void*) {
    none();
}

double gpu_seconds_end(void*) {
    none();
}

void gpu_seconds_drop(void*) {}

}  // namespace kvlab
