//! Questions in scripts that part no words by spaces, or end no sentence with a full stop.

use schemas::receipt::AnswerStatus;

use super::world::{World, file};
use crate::verify_evidence;

/// A file per script, of two sentences, and the question that repeats the second.
const TEXTS: &[(&str, &str, &str)] = &[
    ("zh.txt", "橡树冷库把疫苗保存在二至八摄氏度之间。", "开封的药瓶在二十八天后丢弃。"),
    ("ja.txt", "樫の冷蔵庫はワクチンを2度から8度で保管します。", "開封した瓶は28日後に廃棄します。"),
    ("th.txt", "เก็บวัคซีนไว้ที่อุณหภูมิสองถึงแปดองศาเซลเซียส", "ขวดที่เปิดแล้วต้องทิ้งหลังจากยี่สิบแปดวัน"),
    ("ko.txt", "참나무 냉장실은 백신을 2도에서 8도 사이에 보관합니다.", "개봉한 병은 28일 후에 폐기합니다."),
    ("ar.txt", "تحفظ غرفة البلوط اللقاحات بين درجتين وثماني درجات.", "تتلف القوارير المفتوحة بعد ثمانية وعشرين يوما."),
    ("hi.txt", "ओक शीतगृह टीकों को दो से आठ डिग्री पर रखता है।", "खुली शीशियां अट्ठाईस दिन बाद फेंक दी जाती हैं।"),
    ("km.txt", "បន្ទប់ត្រជាក់រក្សាទុកវ៉ាក់សាំងពីពីរទៅប្រាំបីអង្សា។", "ដបដែលបានបើកត្រូវបោះចោលបន្ទាប់ពីម្ភៃប្រាំបីថ្ងៃ។"),
    ("ru.txt", "Дубовая камера хранит вакцины при двух градусах.", "Открытые флаконы не хранят дольше двадцати восьми дней."),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_any_script_that_repeats_a_sentence_is_answered_from_it() {
    let files: Vec<_> = TEXTS.iter().map(|(name, first, second)| file(name, 1, &format!("{first} {second}"))).collect();
    let world = World::new(&files).await;
    let rag = world.rag().await;
    for (name, first, second) in TEXTS {
        for sentence in [second, first] {
            let question = format!("{}?", sentence.trim_end_matches(['。', '.', '।', '។']));
            let answer = world.ask(&rag, &question).await;
            assert_eq!(answer.receipt.body.status, AnswerStatus::Answered, "{name}: {question}");
            assert_eq!(answer.citations[0].quote, **sentence, "{name}");
            assert_eq!(answer.citations[0].file_name.as_deref(), Some(*name));
            verify_evidence(&rag.evidence(answer.receipt.body.answer_id).await.unwrap()).unwrap();
        }
    }
}
