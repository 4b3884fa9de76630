use super::world::{World, account, cold_chain, file, ids};
use crate::{Answer, verify_evidence};

const QUESTIONS: [&str; 3] = [
    "At what temperature range should most vaccines be stored in a refrigerator?",
    "At what temperature does dry ice sublimate?",
    "Which vaccines does freezing destroy?",
];

async fn answers(files: &[super::world::File]) -> Vec<Answer> {
    let world = World::new(files).await;
    let rag = world.rag().await;
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let answer = world.ask(&rag, question).await;
        verify_evidence(&rag.evidence(answer.receipt.body.answer_id).await.unwrap()).unwrap();
        // the same after a way through the tables
        rag.drain().await.unwrap();
        assert_eq!(rag.answer_of(answer.receipt.body.answer_id).await.unwrap(), answer);
        answers.push(answer);
    }
    answers
}

/// Whole files again, or their paragraphs in other files: answers, sources and pay stay as they were.
#[tokio::test(flavor = "multi_thread")]
async fn copies_change_nothing_but_are_shown() {
    let honest = answers(&cold_chain()).await;
    let original = cold_chain();
    for copiers in 1..=3u8 {
        let mut files = cold_chain();
        for n in 0..copiers {
            files.push(file(&format!("whole-{n}.md"), 10 + n, &original[0].text));
            files.push(file(&format!("part-{n}.md"), 20 + n, &[original[2].text.as_str(); 3][..=n.into()].join("\n\n")));
        }
        let copied = answers(&files).await;
        for (before, after) in honest.iter().zip(&copied) {
            assert_eq!(after.text, before.text);
            assert_eq!(ids(after), ids(before), "no source lost its place");
            let (a, b) = (&after.receipt.body, &before.receipt.body);
            assert_eq!((&a.shares, &a.source_shares_ppm, a.unattributed_ppm), (&b.shares, &b.source_shares_ppm, b.unattributed_ppm));
        }
        let zero: Vec<_> = copied[0].shares.iter().filter(|line| line.copy_of.is_some()).collect();
        assert_eq!(zero.len(), usize::from(copiers));
        assert!(zero.iter().all(|line| line.share_ppm == 0 && line.copy_of.as_ref().unwrap().original_contributor == account(1)));
        // part-n.md has the chunk under another chunk id
        let other = &copied[1].shares;
        assert!(other.iter().any(|line| line.contributor == account(20) && line.copy_of.is_some()));
    }
}

/// Who later says the same with more of the question's words, or says nothing in them, takes neither the answer nor pay.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_question_displace_nobody() {
    let tubes = "Gumtree sample tubes are centrifuged at 1500 g for ten minutes.";
    let plasma = "Frozen Dogwood plasma thaws at 37 degrees Celsius within 20 minutes.";
    let cases: [(&str, &str, &[&str]); 2] = [
        (
            "At what speed are Gumtree sample tubes centrifuged?",
            tubes,
            &[
                "The centrifugation of the Gumtree sample tubes takes ten minutes at speed.",
                "Gumtree sample tubes are centrifuged at 1500 g for ten minutes at what speed.",
                "The speed at which Gumtree sample tubes are centrifuged has been chosen with care.",
            ],
        ),
        (
            "At what temperature does frozen Dogwood plasma thaw?",
            plasma,
            &[
                "Frozen Dogwood plasma thaws at 37 degrees Celsius within 20 minutes as everybody working with frozen Dogwood plasma at what \
                 temperature knows.",
                "The temperature for frozen Dogwood plasma is stated here.",
                "The temperature at which frozen Dogwood plasma does thaw is described below.",
                "At a temperature that matters to pharmacists does frozen Dogwood plasma thaw.",
            ],
        ),
    ];
    for (question, first, later) in cases {
        let each = later.iter().map(|text| (*text).to_owned());
        for later in each.chain([later.join(" "), format!("{first} {}", later.join(" ")), later.join("\n\n")]) {
            let world = World::new(&[file("first.txt", 1, first), file("later.txt", 2, &later)]).await;
            let rag = world.rag().await;
            let answer = world.ask(&rag, question).await;
            assert_eq!(answer.text, first, "{later}");
            let paid: Vec<_> = answer.shares.iter().filter(|line| line.share_ppm > 0).map(|line| line.contributor).collect();
            assert_eq!(paid, [account(1)], "{later}");
        }
    }
}

/// Words that a question does not leave open are its subject: who has them answers, though an earlier text is alike.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_subject_do() {
    let glargine = "Opened insulin glargine keeps for 28 days at room temperature.";
    for lispro in
        ["Opened insulin lispro keeps for 28 days at room temperature.", "Opened insulin lispro keeps for a while at room temperature."]
    {
        let world = World::new(&[file("a.txt", 1, glargine), file("b.txt", 2, lispro)]).await;
        let rag = world.rag().await;
        assert_eq!(world.ask(&rag, "How long does opened insulin lispro keep?").await.text, lispro);
    }
}
