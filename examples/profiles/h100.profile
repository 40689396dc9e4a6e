rally-profile 1
name h100
source the public artefact of arXiv 2510.18121; nothing here was measured by Rally
source attention: H100 varlen FlashAttention forward of one causal document, 64 query and 4
source key/value heads of 128, bfloat16 (h100_attention_forward.csv, cp 1, tp 1), less 25 us of launch,
source which stand as the phase records; documents of L tokens are rows of (L + 1) / 2 mean keys
source attention: shards of 128 query rows and more run at the whole document's rate, and the rate
source halves with each halving below (h200_attention_shard_length.csv); the same is assumed below 32
source attention: backward is assumed 2.7 times forward in time (the artefact measured 2.5 to 2.9)
source linear: h100_linear_forward.tsv, cp 1 to 8, tp 1; the module times are in the ratios of a layer
source of hidden size 8192, 64 query and 16 key/value heads, feed-forward 22016; it is assumed to be
source that layer with 8,192 tokens at cp 1, 699 TFLOP/s: more tokens would exceed the device's peak
source linear: backward is 2.0 times forward in time (the artefact)
source same-node: h200_nccl_intranode.csv, all-gather of 2 GPUs, bytes that each sends; the first point
source extends the line of the smallest two
source across-nodes: crossnode_all_gather.csv, all-gather between two nodes, bytes that each rank sends
source same-process: a copy at half of the memory bandwidth of the data sheet, 3.35 TB/s, with an
source assumed floor of 2 us
source update, reduce, head: not measured; the head runs at the linear part's rate
element-bytes 2
attention-shape 64 4 128
layer-parameters 708853760
attention forward 1 32.5 9.4665e+06
attention forward 1 64.5 1.1912e+07
attention forward 1 128.5 2.2073e+07
attention forward 1 256.5 2.824e+07
attention forward 1 512.5 3.8055e+07
attention forward 1 1024.5 4.9666e+07
attention forward 1 2048.5 6.3638e+07
attention forward 1 4096.5 7.121e+07
attention forward 1 8192.5 7.7802e+07
attention forward 1 16384.5 8.0866e+07
attention forward 1 32768.5 8.1341e+07
attention forward 2 32.5 1.8933e+07
attention forward 2 64.5 2.3825e+07
attention forward 2 128.5 4.4146e+07
attention forward 2 256.5 5.6479e+07
attention forward 2 512.5 7.6109e+07
attention forward 2 1024.5 9.9332e+07
attention forward 2 2048.5 1.2728e+08
attention forward 2 4096.5 1.4242e+08
attention forward 2 8192.5 1.556e+08
attention forward 2 16384.5 1.6173e+08
attention forward 2 32768.5 1.6268e+08
attention forward 4 32.5 3.7866e+07
attention forward 4 64.5 4.7649e+07
attention forward 4 128.5 8.8293e+07
attention forward 4 256.5 1.1296e+08
attention forward 4 512.5 1.5222e+08
attention forward 4 1024.5 1.9866e+08
attention forward 4 2048.5 2.5455e+08
attention forward 4 4096.5 2.8484e+08
attention forward 4 8192.5 3.1121e+08
attention forward 4 16384.5 3.2346e+08
attention forward 4 32768.5 3.2536e+08
attention forward 8 32.5 7.5732e+07
attention forward 8 64.5 9.5299e+07
attention forward 8 128.5 1.7659e+08
attention forward 8 256.5 2.2592e+08
attention forward 8 512.5 3.0444e+08
attention forward 8 1024.5 3.9733e+08
attention forward 8 2048.5 5.091e+08
attention forward 8 4096.5 5.6968e+08
attention forward 8 8192.5 6.2242e+08
attention forward 8 16384.5 6.4693e+08
attention forward 8 32768.5 6.5073e+08
attention forward 16 32.5 1.5146e+08
attention forward 16 64.5 1.906e+08
attention forward 16 128.5 3.5317e+08
attention forward 16 256.5 4.5184e+08
attention forward 16 512.5 6.0888e+08
attention forward 16 1024.5 7.9466e+08
attention forward 16 2048.5 1.0182e+09
attention forward 16 4096.5 1.1394e+09
attention forward 16 8192.5 1.2448e+09
attention forward 16 16384.5 1.2939e+09
attention forward 16 32768.5 1.3015e+09
attention forward 32 32.5 3.0293e+08
attention forward 32 64.5 3.8119e+08
attention forward 32 128.5 7.0634e+08
attention forward 32 256.5 9.0367e+08
attention forward 32 512.5 1.2178e+09
attention forward 32 1024.5 1.5893e+09
attention forward 32 2048.5 2.0364e+09
attention forward 32 4096.5 2.2787e+09
attention forward 32 8192.5 2.4897e+09
attention forward 32 16384.5 2.5877e+09
attention forward 32 32768.5 2.6029e+09
attention forward 64 32.5 6.0586e+08
attention forward 64 64.5 7.6239e+08
attention forward 64 128.5 1.4127e+09
attention forward 64 256.5 1.8073e+09
attention forward 64 512.5 2.4355e+09
attention forward 64 1024.5 3.1786e+09
attention forward 64 2048.5 4.0728e+09
attention forward 64 4096.5 4.5574e+09
attention forward 64 8192.5 4.9793e+09
attention forward 64 16384.5 5.1754e+09
attention forward 64 32768.5 5.2058e+09
attention forward 128 32.5 1.2117e+09
attention forward 128 64.5 1.5248e+09
attention forward 128 128.5 2.8254e+09
attention forward 128 256.5 3.6147e+09
attention forward 128 512.5 4.871e+09
attention forward 128 1024.5 6.3573e+09
attention forward 128 2048.5 8.1456e+09
attention forward 128 4096.5 9.1149e+09
attention forward 128 8192.5 9.9587e+09
attention forward 128 16384.5 1.0351e+10
attention forward 128 32768.5 1.0412e+10
attention backward 1 32.5 3.5061e+06
attention backward 1 64.5 4.412e+06
attention backward 1 128.5 8.1752e+06
attention backward 1 256.5 1.0459e+07
attention backward 1 512.5 1.4094e+07
attention backward 1 1024.5 1.8395e+07
attention backward 1 2048.5 2.3569e+07
attention backward 1 4096.5 2.6374e+07
attention backward 1 8192.5 2.8816e+07
attention backward 1 16384.5 2.995e+07
attention backward 1 32768.5 3.0126e+07
attention backward 2 32.5 7.0122e+06
attention backward 2 64.5 8.8239e+06
attention backward 2 128.5 1.635e+07
attention backward 2 256.5 2.0918e+07
attention backward 2 512.5 2.8189e+07
attention backward 2 1024.5 3.679e+07
attention backward 2 2048.5 4.7139e+07
attention backward 2 4096.5 5.2748e+07
attention backward 2 8192.5 5.7631e+07
attention backward 2 16384.5 5.9901e+07
attention backward 2 32768.5 6.0252e+07
attention backward 4 32.5 1.4024e+07
attention backward 4 64.5 1.7648e+07
attention backward 4 128.5 3.2701e+07
attention backward 4 256.5 4.1837e+07
attention backward 4 512.5 5.6377e+07
attention backward 4 1024.5 7.3579e+07
attention backward 4 2048.5 9.4278e+07
attention backward 4 4096.5 1.055e+08
attention backward 4 8192.5 1.1526e+08
attention backward 4 16384.5 1.198e+08
attention backward 4 32768.5 1.205e+08
attention backward 8 32.5 2.8049e+07
attention backward 8 64.5 3.5296e+07
attention backward 8 128.5 6.5402e+07
attention backward 8 256.5 8.3673e+07
attention backward 8 512.5 1.1275e+08
attention backward 8 1024.5 1.4716e+08
attention backward 8 2048.5 1.8856e+08
attention backward 8 4096.5 2.1099e+08
attention backward 8 8192.5 2.3052e+08
attention backward 8 16384.5 2.396e+08
attention backward 8 32768.5 2.4101e+08
attention backward 16 32.5 5.6098e+07
attention backward 16 64.5 7.0592e+07
attention backward 16 128.5 1.308e+08
attention backward 16 256.5 1.6735e+08
attention backward 16 512.5 2.2551e+08
attention backward 16 1024.5 2.9432e+08
attention backward 16 2048.5 3.7711e+08
attention backward 16 4096.5 4.2199e+08
attention backward 16 8192.5 4.6105e+08
attention backward 16 16384.5 4.7921e+08
attention backward 16 32768.5 4.8202e+08
attention backward 32 32.5 1.122e+08
attention backward 32 64.5 1.4118e+08
attention backward 32 128.5 2.6161e+08
attention backward 32 256.5 3.3469e+08
attention backward 32 512.5 4.5102e+08
attention backward 32 1024.5 5.8863e+08
attention backward 32 2048.5 7.5422e+08
attention backward 32 4096.5 8.4397e+08
attention backward 32 8192.5 9.221e+08
attention backward 32 16384.5 9.5841e+08
attention backward 32 32768.5 9.6404e+08
attention backward 64 32.5 2.2439e+08
attention backward 64 64.5 2.8237e+08
attention backward 64 128.5 5.2322e+08
attention backward 64 256.5 6.6939e+08
attention backward 64 512.5 9.0204e+08
attention backward 64 1024.5 1.1773e+09
attention backward 64 2048.5 1.5084e+09
attention backward 64 4096.5 1.6879e+09
attention backward 64 8192.5 1.8442e+09
attention backward 64 16384.5 1.9168e+09
attention backward 64 32768.5 1.9281e+09
attention backward 128 32.5 4.4878e+08
attention backward 128 64.5 5.6473e+08
attention backward 128 128.5 1.0464e+09
attention backward 128 256.5 1.3388e+09
attention backward 128 512.5 1.8041e+09
attention backward 128 1024.5 2.3545e+09
attention backward 128 2048.5 3.0169e+09
attention backward 128 4096.5 3.3759e+09
attention backward 128 8192.5 3.6884e+09
attention backward 128 16384.5 3.8336e+09
attention backward 128 32768.5 3.8562e+09
linear forward 1024 0.0020293
linear forward 2048 0.0040433
linear forward 4096 0.008064
linear forward 8192 0.016616
linear backward 1024 0.0040586
linear backward 2048 0.0080867
linear backward 4096 0.016128
linear backward 8192 0.033232
transfer same-process 1 2e-06
transfer same-process 1073741824 0.00064304
transfer same-node 1 2.269e-05
transfer same-node 4194304 3.554e-05
transfer same-node 8388608 4.839e-05
transfer same-node 16777216 7.413e-05
transfer same-node 33554432 0.0001224
transfer same-node 67108864 0.0002358
transfer same-node 134217728 0.0004102
transfer same-node 268435456 0.0007847
transfer same-node 536870912 0.0015289
transfer same-node 1073741824 0.0030339
transfer same-node 2147483648 0.0059449
transfer same-node 4294967296 0.011821
transfer across-nodes 2097152 0.00017
transfer across-nodes 4194304 0.00018
transfer across-nodes 8388608 0.00031
transfer across-nodes 16777216 0.00056
transfer across-nodes 33554432 0.00101
transfer across-nodes 67108864 0.0019
transfer across-nodes 134217728 0.00359
transfer across-nodes 268435456 0.00696
transfer across-nodes 536870912 0.01384
transfer across-nodes 1073741824 0.02715
transfer across-nodes 2147483648 0.05377
phase forward 2.5e-05 0
phase backward 2.5e-05 0
