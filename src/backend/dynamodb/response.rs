//! [`DynamoResponse`]: whether a response is complete, and the capacity units that it reports.

use crate::observe::{ConsumedCapacity, Observer};
use aws_sdk_dynamodb::operation as aws;
use aws_sdk_dynamodb::types;

/// A response of one of the nine calls.
pub(super) trait DynamoResponse {
    /// Whether its capacity units are write units.
    const WRITES: bool;
    fn consumed_capacity(&self) -> &[types::ConsumedCapacity];
    /// Whether it has the fields that every response of its kind has. Without this check, a `{}`
    /// from another server would count as a response that found nothing.
    fn is_complete(&self) -> bool;
}

macro_rules! responses {
    ($($output:path, $writes:literal, $self:ident => $consumed:expr, $complete:expr;)*) => {$(
        impl DynamoResponse for $output {
            const WRITES: bool = $writes;
            fn consumed_capacity(&$self) -> &[types::ConsumedCapacity] {
                $consumed
            }
            fn is_complete(&$self) -> bool {
                $complete
            }
        }
    )*};
}
responses! {
    aws::get_item::GetItemOutput, false, self => self.consumed_capacity.as_slice(), true;
    aws::query::QueryOutput, false, self => self.consumed_capacity.as_slice(), true;
    aws::batch_get_item::BatchGetItemOutput, false, self => self.consumed_capacity(),
        self.responses.is_some() || self.unprocessed_keys.is_some();
    aws::transact_get_items::TransactGetItemsOutput, false, self => self.consumed_capacity(),
        self.responses.is_some();
    aws::put_item::PutItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::update_item::UpdateItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::delete_item::DeleteItemOutput, true, self => self.consumed_capacity.as_slice(), true;
    aws::batch_write_item::BatchWriteItemOutput, true, self => self.consumed_capacity(), true;
    aws::transact_write_items::TransactWriteItemsOutput, true, self => self.consumed_capacity(),
        true;
}

/// Reports the consumed capacity of each index. The rest of the total is that of the table.
pub(super) fn report_capacity<T: DynamoResponse>(
    response: &T,
    observer: &dyn Observer,
    backend: &'static str,
    table: &str,
) {
    let report = |index, units| {
        let (read, write) = if T::WRITES { (0.0, units) } else { (units, 0.0) };
        if units > 0.0 {
            observer.on_capacity(backend, &ConsumedCapacity { table, index, read, write });
        }
    };
    for consumed in response.consumed_capacity() {
        let mut of_table = consumed.capacity_units().unwrap_or(0.0);
        for (index, units) in consumed.local_secondary_indexes().into_iter().flatten() {
            let units = units.capacity_units().unwrap_or(0.0);
            report(Some(index.as_str()), units);
            of_table -= units;
        }
        report(None, of_table);
    }
}
