//! Positions of stages: in layers from top to bottom, each stage below all stages it reads.
//!
//! An edge that passes other layers gets a lane in each of them, so that no arrow crosses a box;
//! all readers of a stage use the same lanes.

/// Space between items of one layer.
const GAP_X: f64 = 36.0;
/// Space between layers.
pub(super) const GAP_Y: f64 = 112.0;
pub(super) const MARGIN: f64 = 24.0;
const LANE: f64 = 12.0;
/// Weight of a lane compared with a box: lanes stay straight.
const STRAIGHTNESS: f64 = 4.0;

/// A box of a stage, or a lane that passes a layer. `x` is its middle.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub stage: Option<usize>,
    pub layer: usize,
    pub x: f64,
    width: f64,
}

/// Boxes and lanes, with links from each layer to the next.
pub(super) struct Layout {
    pub items: Vec<Item>,
    pub links: Vec<(usize, usize)>,
    pub width: f64,
    /// Top and bottom of each layer.
    pub layers: Vec<(f64, f64)>,
}

/// Computes the positions of boxes; `reads` has the parents of each box, which come earlier.
pub(super) fn layout(sizes: &[(f64, f64)], reads: &[Vec<usize>]) -> Layout {
    let mut items: Vec<Item> = Vec::new();
    for (stage, (width, _)) in sizes.iter().enumerate() {
        let above = reads[stage].iter().map(|parent| items[*parent].layer + 1);
        let layer = above.max().unwrap_or(0);
        items.push(Item { stage: Some(stage), layer, x: 0.0, width: *width });
    }
    let links = links(&mut items, reads);
    let mut layers = vec![Vec::new(); items.iter().map(|item| item.layer + 1).max().unwrap_or(0)];
    items.iter().enumerate().for_each(|(at, item)| layers[item.layer].push(at));
    let (above, below) = neighbors(items.len(), &links);
    sort(&mut layers, &above, &below);
    position(&mut items, &layers, &above, &below);
    let left = items.iter().map(|item| item.x - item.width / 2.0).fold(f64::INFINITY, f64::min);
    items.iter_mut().for_each(|item| item.x = (item.x - left + MARGIN).round());
    let right = items.iter().map(|item| item.x + item.width / 2.0).fold(0.0, f64::max);
    let layers = heights(&items, sizes, layers.len());
    Layout { items, links, width: right + MARGIN, layers }
}

/// Connects each stage to its parents, over lanes that are added.
fn links(items: &mut Vec<Item>, reads: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut links = Vec::new();
    let mut lanes = vec![Vec::new(); reads.len()];
    for (reader, parents) in reads.iter().enumerate() {
        for &parent in parents {
            let mut last = parent;
            for (past, layer) in (items[parent].layer + 1..items[reader].layer).enumerate() {
                if lanes[parent].len() == past {
                    lanes[parent].push(items.len());
                    links.push((last, items.len()));
                    items.push(Item { stage: None, layer, x: 0.0, width: LANE });
                }
                last = lanes[parent][past];
            }
            links.push((last, reader));
        }
    }
    links
}

/// Returns the items that each item is linked to above and below.
fn neighbors(items: usize, links: &[(usize, usize)]) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let mut above = vec![Vec::new(); items];
    let mut below = vec![Vec::new(); items];
    for &(upper, lower) in links {
        above[lower].push(upper);
        below[upper].push(lower);
    }
    (above, below)
}

/// Orders each layer by the mean rank of an item's neighbors, in sweeps, so that few links cross.
fn sort(layers: &mut [Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
    let mut ranks = vec![0.0; above.len()];
    let number = |layer: &[usize], ranks: &mut [f64]| {
        let middle = layer.len() as f64 / 2.0;
        layer.iter().enumerate().for_each(|(at, item)| ranks[*item] = at as f64 - middle);
    };
    layers.iter().for_each(|layer| number(layer, &mut ranks));
    for round in 0..6 {
        let links = if round % 2 == 0 { above } else { below };
        for depth in 0..layers.len() {
            let at = if round % 2 == 0 { depth } else { layers.len() - 1 - depth };
            let layer = &mut layers[at];
            layer.sort_by(|a, b| {
                mean(&links[*a], &ranks, *a).total_cmp(&mean(&links[*b], &ranks, *b))
            });
            number(layer, &mut ranks);
        }
    }
}

/// Returns the mean rank of linked items, or the item's own rank if there are none.
fn mean(linked: &[usize], ranks: &[f64], own: usize) -> f64 {
    match linked.len() {
        0 => ranks[own],
        count => linked.iter().map(|item| ranks[*item]).sum::<f64>() / count as f64,
    }
}

/// Moves the items of each layer towards their neighbors, as far as there is room. Boxes follow
/// boxes and lanes follow lanes, so that long chains and long arrows are straight.
fn position(items: &mut [Item], layers: &[Vec<usize>], above: &[Vec<usize>], below: &[Vec<usize>]) {
    let above = same_kind(items, above);
    let below = same_kind(items, below);
    let mut centers: Vec<f64> = vec![0.0; items.len()];
    for round in 0..9 {
        let links = if round % 2 == 0 { &above } else { &below };
        for depth in 0..layers.len() {
            let at = if round % 2 == 0 { depth } else { layers.len() - 1 - depth };
            let layer = &layers[at];
            let wanted: Vec<f64> =
                layer.iter().map(|item| mean(&links[*item], &centers, *item)).collect();
            let placed = without_overlap(items, layer, &wanted);
            layer.iter().zip(placed).for_each(|(item, center)| centers[*item] = center);
        }
    }
    items.iter_mut().zip(centers).for_each(|(item, center)| item.x = center);
}

/// Returns the links of each item to items of its own kind, or all if there are none.
fn same_kind(items: &[Item], links: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let is_box = |item: usize| items[item].stage.is_some();
    let chosen = links.iter().enumerate().map(|(item, linked)| {
        let same = linked.iter().copied().filter(|other| is_box(*other) == is_box(item));
        let same: Vec<usize> = same.collect();
        if same.is_empty() { linked.clone() } else { same }
    });
    chosen.collect()
}

/// Returns the centers nearest to the wanted ones (least squares) that preserve order and gaps.
/// Items that would overlap move together, to the mean of their wanted centers.
fn without_overlap(items: &[Item], layer: &[usize], wanted: &[f64]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut last_width = None;
    let mut offsets = Vec::new();
    // Groups of items that touch: the mean of their wanted centers, its weight, and their number.
    let mut runs: Vec<(f64, f64, usize)> = Vec::new();
    for (&at, wanted) in layer.iter().zip(wanted) {
        let Item { width, stage, .. } = items[at];
        offset += last_width.map_or(0.0, |last: f64| f64::midpoint(last, width) + GAP_X);
        last_width = Some(width);
        offsets.push(offset);
        let weight = if stage.is_none() { STRAIGHTNESS } else { 1.0 };
        let mut run = (wanted - offset, weight, 1);
        while let Some(before) = runs.pop_if(|before| before.0 >= run.0) {
            let weight = before.1 + run.1;
            let mean = (before.0 * before.1 + run.0 * run.1) / weight;
            run = (mean, weight, before.2 + run.2);
        }
        runs.push(run);
    }
    let bases = runs.into_iter().flat_map(|(mean, _, count)| std::iter::repeat_n(mean, count));
    bases.zip(offsets).map(|(base, offset)| base + offset).collect()
}

/// Returns the top and bottom of each layer, whose height is that of its tallest box.
fn heights(items: &[Item], sizes: &[(f64, f64)], layers: usize) -> Vec<(f64, f64)> {
    let mut tallest = vec![0.0_f64; layers];
    for item in items {
        let height = item.stage.map_or(0.0, |stage| sizes[stage].1);
        tallest[item.layer] = tallest[item.layer].max(height);
    }
    let mut top = MARGIN;
    let bounds = tallest.into_iter().map(|height| {
        let bounds = (top, top + height);
        top += height + GAP_Y;
        bounds
    });
    bounds.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn box_of(item: &Item) -> (f64, f64) {
        (item.x - item.width / 2.0, item.x + item.width / 2.0)
    }

    proptest! {
        #[test]
        fn items_of_a_layer_do_not_overlap_and_links_connect_adjacent_layers(
            boxes in prop::collection::vec((40_u32..600, any::<[u8; 3]>()), 1..30),
        ) {
            let sizes: Vec<_> = boxes.iter().map(|(width, _)| (f64::from(*width), 50.0)).collect();
            let reads: Vec<Vec<usize>> = boxes.iter().enumerate().map(|(at, (_, picks))| {
                let mut reads: Vec<usize> =
                    picks.iter().map(|pick| usize::from(*pick) % 40).filter(|pick| *pick < at).collect();
                reads.sort_unstable();
                reads.dedup();
                reads
            }).collect();
            let Layout { items, links, width, layers } = layout(&sizes, &reads);
            for (a, first) in items.iter().enumerate() {
                let (left, right) = box_of(first);
                prop_assert!(left >= MARGIN - 1.0 && right <= width - MARGIN + 1.0);
                for second in &items[a + 1..] {
                    let (other_left, other_right) = box_of(second);
                    let apart = first.layer != second.layer || right < other_left || other_right < left;
                    prop_assert!(apart, "{first:?} {second:?}");
                }
            }
            for (upper, lower) in links {
                prop_assert_eq!(items[upper].layer + 1, items[lower].layer);
            }
            prop_assert!(layers.windows(2).all(|pair| pair[1].0 - pair[0].1 == GAP_Y));
        }
    }

    #[test]
    fn a_straight_chain_stays_straight_and_a_reader_sits_between_what_it_reads() {
        let sizes = [(100.0, 50.0), (300.0, 50.0), (80.0, 20.0)];
        let chain = layout(&sizes, &[vec![], vec![0], vec![1]]);
        assert!(chain.items.iter().all(|item| item.x == chain.items[0].x));
        let tee = layout(&sizes, &[vec![], vec![], vec![0, 1]]);
        assert_eq!(tee.items[2].x, f64::midpoint(tee.items[0].x, tee.items[1].x));
    }
}
