rally-profile 1
name h200
source the public artefact of arXiv 2510.18121; nothing here was measured by Rally
source attention: 1.140 times the rates of the H100's varlen FlashAttention forward of one causal document, 64 query and 4
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
source same-process: a copy at half of the memory bandwidth of the data sheet, 4.8 TB/s, with an
source assumed floor of 2 us
source update, reduce, head: not measured; the head runs at the linear part's rate
element-bytes 2
attention-shape 64 4 128
layer-parameters 708853760
attention forward 1 32.5 1.0794e+07
attention forward 1 64.5 1.3583e+07
attention forward 1 128.5 2.5169e+07
attention forward 1 256.5 3.22e+07
attention forward 1 512.5 4.3392e+07
attention forward 1 1024.5 5.6632e+07
attention forward 1 2048.5 7.2563e+07
attention forward 1 4096.5 8.1197e+07
attention forward 1 8192.5 8.8714e+07
attention forward 1 16384.5 9.2207e+07
attention forward 1 32768.5 9.2749e+07
attention forward 2 32.5 2.1588e+07
attention forward 2 64.5 2.7166e+07
attention forward 2 128.5 5.0338e+07
attention forward 2 256.5 6.4401e+07
attention forward 2 512.5 8.6784e+07
attention forward 2 1024.5 1.1326e+08
attention forward 2 2048.5 1.4513e+08
attention forward 2 4096.5 1.6239e+08
attention forward 2 8192.5 1.7743e+08
attention forward 2 16384.5 1.8441e+08
attention forward 2 32768.5 1.855e+08
attention forward 4 32.5 4.3177e+07
attention forward 4 64.5 5.4332e+07
attention forward 4 128.5 1.0068e+08
attention forward 4 256.5 1.288e+08
attention forward 4 512.5 1.7357e+08
attention forward 4 1024.5 2.2653e+08
attention forward 4 2048.5 2.9025e+08
attention forward 4 4096.5 3.2479e+08
attention forward 4 8192.5 3.5486e+08
attention forward 4 16384.5 3.6883e+08
attention forward 4 32768.5 3.7099e+08
attention forward 8 32.5 8.6353e+07
attention forward 8 64.5 1.0866e+08
attention forward 8 128.5 2.0135e+08
attention forward 8 256.5 2.576e+08
attention forward 8 512.5 3.4713e+08
attention forward 8 1024.5 4.5305e+08
attention forward 8 2048.5 5.805e+08
attention forward 8 4096.5 6.4958e+08
attention forward 8 8192.5 7.0971e+08
attention forward 8 16384.5 7.3766e+08
attention forward 8 32768.5 7.4199e+08
attention forward 16 32.5 1.7271e+08
attention forward 16 64.5 2.1733e+08
attention forward 16 128.5 4.027e+08
attention forward 16 256.5 5.1521e+08
attention forward 16 512.5 6.9427e+08
attention forward 16 1024.5 9.0611e+08
attention forward 16 2048.5 1.161e+09
attention forward 16 4096.5 1.2992e+09
attention forward 16 8192.5 1.4194e+09
attention forward 16 16384.5 1.4753e+09
attention forward 16 32768.5 1.484e+09
attention forward 32 32.5 3.4541e+08
attention forward 32 64.5 4.3466e+08
attention forward 32 128.5 8.0541e+08
attention forward 32 256.5 1.0304e+09
attention forward 32 512.5 1.3885e+09
attention forward 32 1024.5 1.8122e+09
attention forward 32 2048.5 2.322e+09
attention forward 32 4096.5 2.5983e+09
attention forward 32 8192.5 2.8388e+09
attention forward 32 16384.5 2.9506e+09
attention forward 32 32768.5 2.968e+09
attention forward 64 32.5 6.9083e+08
attention forward 64 64.5 8.6931e+08
attention forward 64 128.5 1.6108e+09
attention forward 64 256.5 2.0608e+09
attention forward 64 512.5 2.7771e+09
attention forward 64 1024.5 3.6244e+09
attention forward 64 2048.5 4.644e+09
attention forward 64 4096.5 5.1966e+09
attention forward 64 8192.5 5.6777e+09
attention forward 64 16384.5 5.9013e+09
attention forward 64 32768.5 5.9359e+09
attention forward 128 32.5 1.3817e+09
attention forward 128 64.5 1.7386e+09
attention forward 128 128.5 3.2216e+09
attention forward 128 256.5 4.1216e+09
attention forward 128 512.5 5.5542e+09
attention forward 128 1024.5 7.2489e+09
attention forward 128 2048.5 9.288e+09
attention forward 128 4096.5 1.0393e+10
attention forward 128 8192.5 1.1355e+10
attention forward 128 16384.5 1.1803e+10
attention forward 128 32768.5 1.1872e+10
attention backward 1 32.5 3.9978e+06
attention backward 1 64.5 5.0308e+06
attention backward 1 128.5 9.3218e+06
attention backward 1 256.5 1.1926e+07
attention backward 1 512.5 1.6071e+07
attention backward 1 1024.5 2.0975e+07
attention backward 1 2048.5 2.6875e+07
attention backward 1 4096.5 3.0073e+07
attention backward 1 8192.5 3.2857e+07
attention backward 1 16384.5 3.4151e+07
attention backward 1 32768.5 3.4351e+07
attention backward 2 32.5 7.9957e+06
attention backward 2 64.5 1.0062e+07
attention backward 2 128.5 1.8644e+07
attention backward 2 256.5 2.3852e+07
attention backward 2 512.5 3.2142e+07
attention backward 2 1024.5 4.1949e+07
attention backward 2 2048.5 5.375e+07
attention backward 2 4096.5 6.0146e+07
attention backward 2 8192.5 6.5714e+07
attention backward 2 16384.5 6.8302e+07
attention backward 2 32768.5 6.8703e+07
attention backward 4 32.5 1.5991e+07
attention backward 4 64.5 2.0123e+07
attention backward 4 128.5 3.7287e+07
attention backward 4 256.5 4.7704e+07
attention backward 4 512.5 6.4284e+07
attention backward 4 1024.5 8.3899e+07
attention backward 4 2048.5 1.075e+08
attention backward 4 4096.5 1.2029e+08
attention backward 4 8192.5 1.3143e+08
attention backward 4 16384.5 1.366e+08
attention backward 4 32768.5 1.3741e+08
attention backward 8 32.5 3.1983e+07
attention backward 8 64.5 4.0246e+07
attention backward 8 128.5 7.4575e+07
attention backward 8 256.5 9.5408e+07
attention backward 8 512.5 1.2857e+08
attention backward 8 1024.5 1.678e+08
attention backward 8 2048.5 2.15e+08
attention backward 8 4096.5 2.4058e+08
attention backward 8 8192.5 2.6286e+08
attention backward 8 16384.5 2.7321e+08
attention backward 8 32768.5 2.7481e+08
attention backward 16 32.5 6.3966e+07
attention backward 16 64.5 8.0492e+07
attention backward 16 128.5 1.4915e+08
attention backward 16 256.5 1.9082e+08
attention backward 16 512.5 2.5714e+08
attention backward 16 1024.5 3.356e+08
attention backward 16 2048.5 4.3e+08
attention backward 16 4096.5 4.8117e+08
attention backward 16 8192.5 5.2571e+08
attention backward 16 16384.5 5.4641e+08
attention backward 16 32768.5 5.4962e+08
attention backward 32 32.5 1.2793e+08
attention backward 32 64.5 1.6098e+08
attention backward 32 128.5 2.983e+08
attention backward 32 256.5 3.8163e+08
attention backward 32 512.5 5.1427e+08
attention backward 32 1024.5 6.7119e+08
attention backward 32 2048.5 8.6e+08
attention backward 32 4096.5 9.6234e+08
attention backward 32 8192.5 1.0514e+09
attention backward 32 16384.5 1.0928e+09
attention backward 32 32768.5 1.0992e+09
attention backward 64 32.5 2.5586e+08
attention backward 64 64.5 3.2197e+08
attention backward 64 128.5 5.966e+08
attention backward 64 256.5 7.6327e+08
attention backward 64 512.5 1.0285e+09
attention backward 64 1024.5 1.3424e+09
attention backward 64 2048.5 1.72e+09
attention backward 64 4096.5 1.9247e+09
attention backward 64 8192.5 2.1028e+09
attention backward 64 16384.5 2.1857e+09
attention backward 64 32768.5 2.1985e+09
attention backward 128 32.5 5.1172e+08
attention backward 128 64.5 6.4394e+08
attention backward 128 128.5 1.1932e+09
attention backward 128 256.5 1.5265e+09
attention backward 128 512.5 2.0571e+09
attention backward 128 1024.5 2.6848e+09
attention backward 128 2048.5 3.44e+09
attention backward 128 4096.5 3.8494e+09
attention backward 128 8192.5 4.2057e+09
attention backward 128 16384.5 4.3713e+09
attention backward 128 32768.5 4.397e+09
linear forward 1024 0.0020293
linear forward 2048 0.0040433
linear forward 4096 0.008064
linear forward 8192 0.016616
linear backward 1024 0.0040586
linear backward 2048 0.0080867
linear backward 4096 0.016128
linear backward 8192 0.033232
transfer same-process 1 2e-06
transfer same-process 1073741824 0.00044939
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
