// fake_cudart_graphs.cpp - the fake's graphs: the work that a stream was given while someone
// captured it.
#include <cuda_runtime_api.h>

#include <memory>

#include "fake_cudart.hpp"

using kvlab::test::fake_capture;
using kvlab::test::fake_gpu;
using kvlab::test::FakeGraph;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (stream == nullptr || fake_capture() != nullptr) return cudaErrorInvalidValue;
    fake_capture() = new FakeGraph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
    if (fake_capture() == nullptr) return cudaErrorInvalidValue;
    *graph = reinterpret_cast<cudaGraph_t>(fake_capture());
    fake_capture() = nullptr;
    ++fake_gpu().graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
    *count = reinterpret_cast<FakeGraph*>(graph)->size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready,
                                 cudaGraph_t graph,
                                 unsigned long long) {
    *ready =
        reinterpret_cast<cudaGraphExec_t>(new FakeGraph(*reinterpret_cast<FakeGraph*>(graph)));
    ++fake_gpu().graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete reinterpret_cast<FakeGraph*>(graph);
    --fake_gpu().graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
    delete reinterpret_cast<FakeGraph*>(ready);
    --fake_gpu().graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
    const FakeGraph work = *reinterpret_cast<FakeGraph*>(ready);
    // Behind what the stream holds; whatever waits for it runs all.
    return cudaLaunchHostFunc(
        stream,
        [](void* graph) {
            const std::unique_ptr<FakeGraph> steps(static_cast<FakeGraph*>(graph));
            for (const auto& step : *steps) step();
        },
        new FakeGraph(work));
}

}  // extern "C"
