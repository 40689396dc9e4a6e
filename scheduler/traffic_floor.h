// TrafficFloor: bytes that no plan of a batch can do without, wherever it places the documents, so
// long as no server gets more than its limit of work. Not known to be reachable; 0 where every
// document's work fits into one server. That every worker holds equal tokens is not used.
//
// Derivation, for one document of l rows and w pairs of a row with one before it (the pair of a
// row with itself is left out, which favours every plan). Let server i hold R_i of the rows at
// home and compute m_i of the pairs; Sum R_i = l, Sum m_i = w, m_i <= B, the limit.
//   1. A server that has x remote query rows and y remote key rows beside its R home rows can
//      compute at most (R + x)(R + y) - R(R + 1)/2 pairs: of each two home rows only one sees the
//      other, and none is counted with itself. So it pays at least
//        f(R, m) = min over x, y >= 0 of q x + k y, where (R + x)(R + y) >= m + R(R + 1)/2,
//      q bytes to move a query row there and its output back, k to move a key and value row.
//   2. f falls with R, and f(R, m) >= sqrt(a) f(R / sqrt(a), B) >= a f(R / a, B), where a = m / B:
//      a dearer server does the work at a better rate.
//   3. f(., B) is convex, so Sum f(R_i, m_i) >= Sum a_i f(R_i / a_i, B) >= n f(l / n, B),
//      where n = Sum a_i = w / B: n full servers with equal shares of the rows at home.
//   4. Servers are whole. R(R - 1)/2 pairs of a server's own rows are free; from there to B pairs
//      f(R, .) is concave, so above its chord: c(R) bytes a pair, which falls with R. Let
//      R_1 >= ... >= R_s be the s largest homes. The others' T = l - Sum R_i rows have T R_s / 2
//      free pairs at most. So the pairs that are not free cost c(R_1) each while B leaves room on
//      server 1, then c(R_2), and so on, and c(R_s) beyond all room. The least of that over all
//      homes is sought on a grid with every R_i rounded up, which can only lower it.
// The floor is the larger of 3 and 4, with s = 2 where w <= 2 B and s = 3 where w <= 4 B.
//
// In closed form (q > k: there are no more key/value heads than heads): with M = m + R(R + 1)/2,
// and when M k <= q R^2, no query row moves and
//   f = k max(0, M / R - R); else both do and f = 2 sqrt(q k M) - (q + k) R.
//
// Pure, any thread.
#ifndef RALLY_SCHEDULER_TRAFFIC_FLOOR_H_
#define RALLY_SCHEDULER_TRAFFIC_FLOOR_H_

#include <cstdint>
#include <vector>

#include "scheduler/document.h"
#include "scheduler/model_shape.h"

namespace rally {

// Bytes between ranks in one layer's forward pass (LayerBytes of plan_traffic.h), at least, of any
// plan in which every server computes at most `most_pairs` > 0 allowed pairs.
double ForwardTrafficFloor(const std::vector<Document>& documents, double most_pairs,
                           const ModelShape& model, int64_t element_bytes);

}  // namespace rally

#endif  // RALLY_SCHEDULER_TRAFFIC_FLOOR_H_
