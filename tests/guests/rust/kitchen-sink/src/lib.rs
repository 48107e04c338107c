//! Every kind of WIT value, there and back, for the mapping between JSON and WIT.

wit_bindgen::generate!({ path: "wit" });

struct Component;

/// Functions that return what they got.
macro_rules! echo {
    ($($name:ident: $kind:ty),+ $(,)?) => {
        $(fn $name(value: $kind) -> $kind {
            value
        })+
    };
}

impl Guest for Component {
    echo! {
        echo_bool: bool,
        echo_u8: u8,
        echo_s8: i8,
        echo_u16: u16,
        echo_s16: i16,
        echo_u32: u32,
        echo_s32: i32,
        echo_u64: u64,
        echo_s64: i64,
        echo_f32: f32,
        echo_f64: f64,
        echo_char: char,
        echo_string: String,
        echo_bytes: Vec<u8>,
        echo_list: Vec<String>,
        echo_nested_list: Vec<Vec<u32>>,
        echo_tuple: (u8, String, bool),
        echo_record: Person,
        echo_enum: Role,
        echo_flags: Rights,
        echo_variant: Shape,
        echo_option: Option<String>,
        echo_nested_option: Option<Option<u32>>,
        echo_result: Result<u32, String>,
        echo_empty_result: Result<(), ()>,
    }

    fn move_by(start: Point, by: Point, times: u32) -> Point {
        let times = times.cast_signed();
        Point {
            x: start.x.wrapping_add(by.x.wrapping_mul(times)),
            y: start.y.wrapping_add(by.y.wrapping_mul(times)),
        }
    }

    fn divide(dividend: i64, divisor: i64) -> Result<i64, String> {
        dividend.checked_div(divisor).ok_or_else(|| format!("{dividend} / {divisor} has no value"))
    }

    fn limits() -> (u64, i64) {
        (u64::MAX, i64::MIN)
    }

    fn nothing() {}
}

export!(Component);
