rally-profile 1
name emulated
source made up for a test: a layer's linear part and core attention of 1,024 tokens take some 3 ms
source each, and a message of 1 MB 1 ms
element-bytes 2
attention-shape 4 2 64
layer-parameters 737280
attention forward 32 16 1e8
attention forward 32 2048 2e8
attention forward 1024 16 2e8
attention forward 1024 2048 4e8
attention backward 32 16 4e7
attention backward 32 2048 8e7
attention backward 1024 16 8e7
attention backward 1024 2048 1.6e8
linear forward 128 0.0005
linear forward 4096 0.012
linear backward 128 0.001
linear backward 4096 0.024
transfer same-process 1000 1e-7
transfer same-process 1000000 0.0001
transfer same-node 1000 0.00002
transfer same-node 1000000 0.001
transfer across-nodes 1000 0.00005
transfer across-nodes 1000000 0.004
phase forward 0.0001 1e-10
phase backward 0.0001 1e-10
update 0.001 1e-10
reduce 0.001 1e-9
