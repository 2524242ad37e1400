// kernels.cuh - the kernels that test the executor, for host code. All have one signature:
// in and out hold n floats; out has not been written, unless the test says so; counts
// holds 64 zeros.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

#define KVLAB_TEST_KERNEL(name) \
    KVLAB_KERNEL(name, (const float* in, float* out, int* counts, int n))

// bounds.cu
KVLAB_TEST_KERNEL(unguarded_tail);
KVLAB_TEST_KERNEL(store_past_the_end);
KVLAB_TEST_KERNEL(before_the_beginning);
KVLAB_TEST_KERNEL(shared_past_the_end);
KVLAB_TEST_KERNEL(shared_into_the_next_array);
KVLAB_TEST_KERNEL(dynamic_shared_too_small);
KVLAB_TEST_KERNEL(wild_pointer);
KVLAB_TEST_KERNEL(float4_past_the_end);
KVLAB_TEST_KERNEL(misaligned_float4);
KVLAB_TEST_KERNEL(misaligned_shared_float2);
KVLAB_TEST_KERNEL(uninitialised_global);
KVLAB_TEST_KERNEL(uninitialised_shared);
KVLAB_TEST_KERNEL(uninitialised_dynamic);
KVLAB_TEST_KERNEL(shared_of_the_block_before);
KVLAB_TEST_KERNEL(uninitialised_atomic);
KVLAB_TEST_KERNEL(writes_its_input);
KVLAB_TEST_KERNEL(wrong_in_a_function);
KVLAB_TEST_KERNEL(wrong_in_an_inlined_function);
KVLAB_TEST_KERNEL(too_much_static_shared);

// races.cu
KVLAB_TEST_KERNEL(no_barrier_before_read);
KVLAB_TEST_KERNEL(no_barrier_before_write);
KVLAB_TEST_KERNEL(all_write_one_word);
KVLAB_TEST_KERNEL(reduction_without_barrier);
KVLAB_TEST_KERNEL(shuffle_is_no_barrier);
KVLAB_TEST_KERNEL(syncwarp_is_no_block_barrier);
KVLAB_TEST_KERNEL(global_without_barrier);
KVLAB_TEST_KERNEL(blocks_write_one_word);
KVLAB_TEST_KERNEL(block_reads_what_another_wrote);
KVLAB_TEST_KERNEL(block_writes_what_another_read);
KVLAB_TEST_KERNEL(plain_increment);
KVLAB_TEST_KERNEL(atomic_and_plain);
KVLAB_TEST_KERNEL(two_write_one_float4);

// waiting.cu
KVLAB_TEST_KERNEL(returned_before_barrier);
KVLAB_TEST_KERNEL(barrier_in_one_branch);
KVLAB_TEST_KERNEL(barrier_in_each_branch);
KVLAB_TEST_KERNEL(barriers_by_thread);
KVLAB_TEST_KERNEL(lane_has_returned);
KVLAB_TEST_KERNEL(lane_waits_at_barrier);
KVLAB_TEST_KERNEL(lane_does_not_exist);
KVLAB_TEST_KERNEL(shuffles_in_two_places);
KVLAB_TEST_KERNEL(ballot_and_shuffle);
KVLAB_TEST_KERNEL(masks_differ);
KVLAB_TEST_KERNEL(lane_leaves_itself_out);
KVLAB_TEST_KERNEL(source_not_in_mask);

// right.cu
KVLAB_TEST_KERNEL(fma_with_ragged_tail);
KVLAB_TEST_KERNEL(every_other);
KVLAB_TEST_KERNEL(copy_float4);
KVLAB_TEST_KERNEL(block_sum);
KVLAB_TEST_KERNEL(one_warp_works);
KVLAB_TEST_KERNEL(warp_sum);
KVLAB_TEST_KERNEL(half_warps);
KVLAB_TEST_KERNEL(histogram);
KVLAB_TEST_KERNEL(exchange_in_warp);
KVLAB_TEST_KERNEL(bytes_side_by_side);
KVLAB_TEST_KERNEL(banks);
KVLAB_TEST_KERNEL(grid_of_three_dimensions);
KVLAB_TEST_KERNEL(shared_in_a_template);
KVLAB_TEST_KERNEL(votes_and_shifts);
KVLAB_TEST_KERNEL(order_matters);

// async.cu
KVLAB_TEST_KERNEL(copies_one_float);
KVLAB_TEST_KERNEL(double_buffer);
KVLAB_TEST_KERNEL(copies_half);
KVLAB_TEST_KERNEL(looks_too_early);
KVLAB_TEST_KERNEL(rounds_of_a_grid);
KVLAB_TEST_KERNEL(keeps_its_shared_memory);

// grids.cu
KVLAB_TEST_KERNEL(no_grid_barrier);
KVLAB_TEST_KERNEL(one_grid_barrier_missing);
KVLAB_TEST_KERNEL(block_has_returned);
KVLAB_TEST_KERNEL(thread_misses_the_grid);
KVLAB_TEST_KERNEL(block_or_grid);
KVLAB_TEST_KERNEL(blocks_at_two_barriers);
KVLAB_TEST_KERNEL(shared_of_another_block);
KVLAB_TEST_KERNEL(not_launched_together);

// holes.cu
KVLAB_TEST_KERNEL(hole_for_all);
KVLAB_TEST_KERNEL(hole_of_one_thread);
KVLAB_TEST_KERNEL(hole_in_a_function);
KVLAB_TEST_KERNEL(hole_where_nothing_is_written);
KVLAB_TEST_KERNEL(hole_of_one_block);

// copies.cu
KVLAB_TEST_KERNEL(reads_before_the_wait);
KVLAB_TEST_KERNEL(overwrites_a_copy);
KVLAB_TEST_KERNEL(one_wait_too_few);
KVLAB_TEST_KERNEL(never_committed);
KVLAB_TEST_KERNEL(no_barrier_after_the_wait);
KVLAB_TEST_KERNEL(barrier_before_the_wait);
KVLAB_TEST_KERNEL(no_barrier_before_the_next_copy);
KVLAB_TEST_KERNEL(source_overwritten);
KVLAB_TEST_KERNEL(source_overwritten_too_early);
KVLAB_TEST_KERNEL(source_of_another_thread);
KVLAB_TEST_KERNEL(source_never_written);
KVLAB_TEST_KERNEL(copies_twelve_bytes);
KVLAB_TEST_KERNEL(more_zeros_than_bytes);
KVLAB_TEST_KERNEL(source_misaligned);
KVLAB_TEST_KERNEL(zeros_do_not_align);
KVLAB_TEST_KERNEL(target_misaligned);
KVLAB_TEST_KERNEL(copies_to_global);
KVLAB_TEST_KERNEL(copies_from_shared);
KVLAB_TEST_KERNEL(copies_past_the_end);
KVLAB_TEST_KERNEL(copies_past_the_row);
KVLAB_TEST_KERNEL(two_copies_to_one_place);
KVLAB_TEST_KERNEL(returns_with_a_copy);

// words.cu, some with signatures of their own
KVLAB_TEST_KERNEL(partial_warp_sum);
KVLAB_TEST_KERNEL(outside_of_the_mask);
KVLAB_KERNEL(words_of_bits, (const unsigned* in, unsigned* out, int n));
KVLAB_KERNEL(words_of_floats, (const float* in, int* out, int n));
KVLAB_KERNEL(words_of_atomics, (int* counts, unsigned* unsigneds));
KVLAB_KERNEL(words_of_barriers, (const int* in, int* out));

// borders.cu, with signatures of their own
KVLAB_KERNEL(shuffles_by, (int width, int by, int* out));
KVLAB_KERNEL(elements_of_1,
             (int count, int stride, const unsigned char* in, unsigned char* out));
KVLAB_KERNEL(elements_of_2,
             (int count, int stride, const unsigned char* in, unsigned char* out));
KVLAB_KERNEL(elements_of_4,
             (int count, int stride, const unsigned char* in, unsigned char* out));
KVLAB_KERNEL(elements_of_8,
             (int count, int stride, const unsigned char* in, unsigned char* out));
KVLAB_KERNEL(elements_of_16,
             (int count, int stride, const unsigned char* in, unsigned char* out));

}  // namespace kvlab
