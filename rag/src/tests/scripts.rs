//! Questions in scripts that part no words by spaces, or end no sentence with a full stop.

use std::sync::Arc;

use engine::{Embedder, HashingEmbedder, MiniLm};
use schemas::receipt::AnswerStatus;

use super::world::{World, file};
use crate::verify_evidence;

/// A file per script, of two sentences, each with a question about it.
const TEXTS: &[(&str, [(&str, &str); 2])] = &[
    (
        "zh.txt",
        [
            ("橡树冷库把疫苗保存在二至八摄氏度之间。", "橡树冷库把疫苗保存在几度?"),
            ("开封的药瓶在二十八天后丢弃。", "开封的药瓶几天后丢弃?"),
        ],
    ),
    (
        "ja.txt",
        [
            ("樫の冷蔵庫はワクチンを2度から8度で保管します。", "樫の冷蔵庫はワクチンを何度で保管しますか?"),
            ("開封した瓶は28日後に廃棄します。", "開封した瓶は何日後に廃棄しますか?"),
        ],
    ),
    (
        "th.txt",
        [("เก็บวัคซีนไว้ที่อุณหภูมิสองถึงแปดองศาเซลเซียส", "เก็บวัคซีนไว้ที่อุณหภูมิเท่าใด?"), ("ขวดที่เปิดแล้วต้องทิ้งหลังจากยี่สิบแปดวัน", "ขวดที่เปิดแล้วต้องทิ้งหลังจากกี่วัน?")],
    ),
    (
        "ko.txt",
        [
            ("참나무 냉장실은 백신을 2도에서 8도 사이에 보관합니다.", "참나무 냉장실은 백신을 몇 도에 보관합니까?"),
            ("개봉한 병은 28일 후에 폐기합니다.", "개봉한 병은 며칠 후에 폐기합니까?"),
        ],
    ),
    (
        "ar.txt",
        [
            ("تحفظ غرفة البلوط اللقاحات بين درجتين وثماني درجات.", "بين أي درجات تحفظ غرفة البلوط اللقاحات؟"),
            ("تتلف القوارير المفتوحة بعد ثمانية وعشرين يوما.", "بعد كم يوما تتلف القوارير المفتوحة؟"),
        ],
    ),
    (
        "hi.txt",
        [
            ("ओक शीतगृह टीकों को दो से आठ डिग्री पर रखता है।", "ओक शीतगृह टीकों को कितने डिग्री पर रखता है?"),
            ("खुली शीशियां अट्ठाईस दिन बाद फेंक दी जाती हैं।", "खुली शीशियां कितने दिन बाद फेंक दी जाती हैं?"),
        ],
    ),
    (
        "km.txt",
        [
            ("បន្ទប់ត្រជាក់រក្សាទុកវ៉ាក់សាំងពីពីរទៅប្រាំបីអង្សា។", "បន្ទប់ត្រជាក់រក្សាទុកវ៉ាក់សាំងពីប៉ុន្មានអង្សា?"),
            ("ដបដែលបានបើកត្រូវបោះចោលបន្ទាប់ពីម្ភៃប្រាំបីថ្ងៃ។", "ដបដែលបានបើកត្រូវបោះចោលបន្ទាប់ពីប៉ុន្មានថ្ងៃ?"),
        ],
    ),
    (
        "ru.txt",
        [
            ("Дубовая камера хранит вакцины при двух градусах.", "При скольких градусах дубовая камера хранит вакцины?"),
            ("Открытые флаконы не хранят дольше двадцати восьми дней.", "Сколько дней хранят открытые флаконы?"),
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_any_script_is_answered_from_the_sentence_that_it_is_about() {
    each_is_answered(Arc::new(HashingEmbedder::new())).await;
}

/// `HEADWATER_MINILM=<folder with model.safetensors> cargo test -p rag -- --ignored made_for_english`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs weights from outside the repository"]
async fn an_embedder_made_for_english_hinders_none_of_them() {
    let folder = std::env::var("HEADWATER_MINILM").expect("set HEADWATER_MINILM");
    each_is_answered(Arc::new(MiniLm::load(folder.as_ref()).unwrap())).await;
}

async fn each_is_answered(embedder: Arc<dyn Embedder>) {
    let files: Vec<_> = TEXTS.iter().map(|(name, [one, two])| file(name, 1, &format!("{} {}", one.0, two.0))).collect();
    let world = World::with(embedder, &files).await;
    let rag = world.rag().await;
    let mut wrong = Vec::new();
    for (name, sentences) in TEXTS {
        // About it, and as a claim that it confirms.
        for (sentence, question) in sentences.iter().flat_map(|(sentence, question)| [(sentence, question), (sentence, sentence)]) {
            let answer = world.ask(&rag, question).await;
            if answer.receipt.body.status != AnswerStatus::Answered || answer.citations[0].quote != *sentence {
                wrong.push(format!("{name}: {question}: {:?}", answer.citations.first().map(|citation| &citation.quote)));
                continue;
            }
            assert_eq!(answer.citations[0].file_name.as_deref(), Some(*name));
            verify_evidence(&rag.evidence(answer.receipt.body.answer_id).await.unwrap()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
